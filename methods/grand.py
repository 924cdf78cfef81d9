"""GraNd: the samples of largest gradient norm, averaged over networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from methods.base import Need
from methods.features import Features
from methods.score_method import ScoreMethod
from nets.last_layer import gradient_norms


@dataclass(frozen=True)
class GraNd(ScoreMethod):
    """Pick the highest mean of ‖g_i‖₂ first, over independently seeded networks; g is the last-layer gradient.

    The paper looks early in training (a small -se) or at initialisation (-se 0).
    """

    source = "Paul et al., Deep Learning on a Data Diet: Finding Important Examples Early in Training, NeurIPS 2021"
    need = (Need.REPEATS,)


def mean_gradient_norms(repeats: Iterable[Features]) -> Tensor:
    """Return the mean of ‖g_i‖₂ over the features of the same samples by different networks, float64 [n].

    Raises:
        ValueError: there are none.
    """
    total: Tensor | None = None
    count = 0
    for features in repeats:
        norms = gradient_norms(features.embeddings, features.logits, features.labels)
        total = norms if total is None else total + norms
        count += 1
    if total is None:
        raise ValueError("no network to take gradient norms from")
    return total / count
