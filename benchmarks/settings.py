"""What every selection of the benchmarks has in common."""

from __future__ import annotations

import numpy as np

from methods import select_coreset
from methods.features import Features

EPS, NUM_DIMS = 0.01, 100


def lcmat(features: Features, fraction: float, balance: bool = True, memory_budget: int | None = None) -> np.ndarray:
    """Return LCMat's picks by the public call, int64 [k]."""
    coreset = select_coreset(
        "LCMat",
        embeddings=features.embeddings,
        logits=features.logits,
        labels=features.labels,
        fraction=fraction,
        balance=balance,
        eps=EPS,
        num_dims=NUM_DIMS,
        memory_budget=memory_budget,
    )
    return coreset.indices
