"""Forgetting events: what the proxy learned and lost again while it trained."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Method, Need, PickSettings, SelectionInputs, highest
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class Forgetting(Method):
    """Pick the most forgotten samples first; those never classified correctly come before all others.

    The scores of ``ForgettingTrace`` (utils.training) count how often a sample goes from correct to incorrect between
    two presentations in training; a sample that was never correct has +inf.
    """

    source = "Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning, ICLR 2019"
    need = Need.FORGETTING

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples with the most forgetting events."""
        return highest(self.scores_of(inputs), budget)
