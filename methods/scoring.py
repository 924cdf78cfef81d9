"""The point of the parameter space at which methods look at each sample's loss.

A trained proxy is sure of most samples: p ≈ y, the gradients vanish, and distances are ruled by the few samples that
it gets wrong. Logits divided by T are those of a last layer divided by T, another point of the region over which a
coreset's loss should match.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.features import AnyFeatures
from nets.last_layer import residuals
from utils.errors import UserError
from utils.flags import number

SCORINGS = {
    "evaluation": "the proxy as it is, in evaluation mode",
    "class_batches": "batch statistics of batches of a single class",
    "temperature": "logits divided by --temperature",
}

_RESIDUAL, _SHARE = 0.5, 0.05  # auto: at most this share of the samples has a smaller ‖p − y‖
_SAMPLES = 10_000  # that auto looks at
_HOTTEST, _STEPS = 1e4, 40


def read_temperature(text: str) -> float | str:
    """Read a temperature, or ``auto``."""
    return "auto" if text.casefold() == "auto" else number("(0, inf)")(text)


def at_temperature(features: AnyFeatures, temperature: float) -> AnyFeatures:
    """Return the features at a last layer divided by ``temperature``.

    Raises:
        UserError: a temperature that is not a finite number above 0, or so small that the logits overflow.
    """
    if not 0 < temperature < math.inf:
        raise UserError(f"temperature is a finite number above 0, or auto, not {temperature!r}")
    if temperature == 1:
        return features
    if temperature < 1 and not all(bool((f / temperature).isfinite().all()) for f in features.logit_blocks()):
        raise UserError(f"temperature {temperature:g} is too small: the logits overflow")
    return features.at_temperature(temperature)


def auto_temperature(features: AnyFeatures) -> float:
    """Return the least T ≥ 1, to three digits, at which 95 of 100 samples have ‖p − y‖₂ ≥ ½.

    At T = ∞ every sample has √(1 − 1/C) ≥ 0.7, so there is such a T wherever there are two classes. Of many samples
    10,000, evenly spaced, are looked at.
    """
    step = -(-len(features) // _SAMPLES) if len(features) else 1
    some = features.subset(torch.arange(0, len(features), step, device=features.labels.device)).everywhere()
    logits, labels = some.logits, some.labels
    if logits.shape[1] < 2 or _unsure(logits, labels):
        return 1.0
    low, high = 0.0, math.log(_HOTTEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _unsure(logits / math.exp(middle), labels) else (middle, high)
    return float(f"{math.exp(high):.3g}")


def _unsure(logits: Tensor, labels: Tensor) -> bool:
    """Return whether the proxy is sure of no more than the share allowed of these samples."""
    norms = residuals(logits, labels).norm(dim=1)  # [n]
    return int((norms < _RESIDUAL).sum()) <= _SHARE * len(norms)
