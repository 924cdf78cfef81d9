"""What every selection of the benchmarks has in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from methods import select_coreset
from methods.features import Features

EPS, NUM_DIMS = 0.01, 100


def picks(method: str, features: Features, fraction: float, **options: Any) -> np.ndarray:
    """Return the picks of a method by the public call, int64 [k]."""
    given = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    return select_coreset(method, **given, fraction=fraction, **options).indices


def lcmat(features: Features, fraction: float, balance: bool = True, memory_budget: int | None = None) -> np.ndarray:
    """Return LCMat's picks, int64 [k]."""
    options = {"balance": balance, "memory_budget": memory_budget}
    return picks("LCMat", features, fraction, eps=EPS, num_dims=NUM_DIMS, **options)
