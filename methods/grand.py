"""GraNd: the samples of largest gradient norm, averaged over networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs, highest
from methods.features import Features
from nets.last_layer import gradient_norms
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class GraNd(Method):
    """Pick the highest mean of ‖g_i‖₂ first, over independently seeded networks; g is the last-layer gradient."""

    source = "Paul et al., Deep Learning on a Data Diet: Finding Important Examples Early in Training, NeurIPS 2021"
    need = Need.REPEATS

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples of highest mean gradient norm."""
        return highest(self.scores_of(inputs), budget)


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
