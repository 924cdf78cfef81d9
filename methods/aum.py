"""AUM: the area under the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from methods.score_method import TraceMethod

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class AUM(TraceMethod):
    """Pick the lowest mean over epochs of f_y − max_{c≠y} f_c first, f the logits.

    The paper finds wrong labels by it, which have the lowest of all: with --prune hardest:R they are left out.
    """

    source = "Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin Ranking, NeurIPS 2020"
    hard_is_low = True

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the mean margin."""
        return trace.margin.mean(dim=0)
