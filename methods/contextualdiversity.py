"""Contextual diversity: k-center over predicted probabilities instead of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs
from methods.features import Features
from methods.kcentergreedy import farthest_first, first_centre
from nets.last_layer import probabilities
from utils.data.coreset import Coreset
from utils.threads import small_steps

_FLOOR = 1e-12  # probabilities below count as this, so that no divergence exceeds 27.7


@dataclass(frozen=True)
class ContextualDiversity(Method):
    """Pick argmax_i min_{s∈S} D(p_i, p_s) after a random first centre, D the symmetric Kullback-Leibler divergence.

    D(a, b) = ½ Σ a log(a/b) + ½ Σ b log(b/a) of softmax outputs, clamped from below at 1e-12.
    """

    source = "Agarwal et al., Contextual Diversity for Active Learning, ECCV 2020"
    need = (Need.LOGITS,)

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the sample farthest from all picks in symmetric divergence, again and again."""
        p = clamped_probabilities(self.features_of(inputs))  # [n, C]
        log_p = p.log()

        def distances(centre: int) -> Tensor:
            return symmetric_divergence(p, p[centre], log_p, log_p[centre])  # [n]

        with small_steps(p.numel()):
            return farthest_first(distances, first_centre(len(p), settings.seed), budget)


def clamped_probabilities(features: Features) -> Tensor:
    """Return softmax outputs, none below 1e-12, float64 [n, C]."""
    return probabilities(features.logits).clamp(min=_FLOOR)


def symmetric_divergence(a: Tensor, b: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """Return ½ Σ a log(a/b) + ½ Σ b log(b/a) = ½ Σ (a − b)(log a − log b), over the last dimension."""
    return ((a - b) * (log_a - log_b)).sum(dim=-1) / 2
