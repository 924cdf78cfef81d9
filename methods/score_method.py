"""Methods that rank samples by a score of how hard they are, and the rank from hardest to easiest."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs, highest
from utils.data.coreset import Coreset

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class ScoreMethod(Method):
    """Pick the hardest samples first, by a score that a run computes (``need`` says from what).

    Attributes:
        hard_is_low: whether a low score, not a high one, says that a sample is hard.
    """

    hard_is_low: ClassVar[bool] = False

    def difficulty(self, scores: Tensor) -> Tensor:
        """Return ``scores`` [n] turned so that the highest is the hardest."""
        return -scores if self.hard_is_low else scores

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the hardest samples."""
        return highest(self.difficulty(self.scores_of(inputs)), budget)


@dataclass(frozen=True)
class TraceMethod(ScoreMethod):
    """A score of the trace of the proxy's training, so that no second network is trained."""

    need = (Need.TRACE,)

    @abstractmethod
    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the score of each sample, float64 [n], from a trace of at least one epoch."""


def scaled(difficulty: Tensor) -> Tensor:
    """Return difficulties from 0 to 1, float64 [n], all 0 where they are equal.

    One that is infinite counts as the most extreme finite one and one more in its direction, as a forgetting event is.
    """
    values = difficulty.double()
    finite = values[values.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    values = values.clamp(low - 1, high + 1) if bool(values.isinf().any()) else values
    _, exponent = math.frexp(max(float(values.abs().max()), 1.0)) if len(values) else (0.0, 0)
    values = values * 2.0**-exponent  # exact, and no difference overflows
    above = values - values.min()
    return above / above.max().clamp_min(torch.finfo(above.dtype).tiny)
