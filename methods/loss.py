"""The loss over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from methods.score_method import TraceMethod

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class Loss(TraceMethod):
    """Pick the highest mean over epochs of the cross-entropy −log p_y first."""

    source = "Huang et al., O2U-Net: A Simple Noisy Label Detection Approach for Deep Neural Networks, ICCV 2019"

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the mean loss."""
        return trace.loss.mean(dim=0)
