"""Forgetting events: what the proxy learned and lost again while it trained."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Method, Need, PickSettings, SelectionInputs, highest
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class Forgetting(Method):
    """Most forgetting events first; what was never classified rightly ranks hardest.

    Scores are what ``ForgettingTrace`` (utils.training) gives: transitions from right to wrong between two
    presentations of a sample in training, and +inf for a sample that was wrong at all of them.
    """

    source = "Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning, ICLR 2019"
    need = Need.FORGETTING

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        return highest(self.scores_of(inputs), budget)
