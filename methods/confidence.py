"""The confidence over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from methods.score_method import TraceMethod

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class Confidence(TraceMethod):
    """Pick the lowest mean over epochs of p_y, the probability of the label, first."""

    source = (
        "Swayamdipta et al., Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics, EMNLP 2020"
    )
    hard_is_low = True

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the mean confidence."""
        return trace.confidence.mean(dim=0)
