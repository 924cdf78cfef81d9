"""Forgetting events: what the proxy learned and lost again while it trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from methods.score_method import TraceMethod

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class Forgetting(TraceMethod):
    """Pick the most forgotten samples first; those never classified correctly come before all others.

    The score counts how often a sample goes from correct to incorrect between two presentations in training; it is
    +inf for a sample that was never correct.
    """

    source = "Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning, ICLR 2019"

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the number of forgetting events."""
        correct = trace.correct  # [epochs, n]
        events = (correct[:-1] & ~correct[1:]).sum(dim=0)
        return events.double().masked_fill(~correct.any(dim=0), torch.inf)
