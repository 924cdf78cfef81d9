"""Dyn-Unc: how much the confidence moves while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from methods.score_method import TraceMethod
from utils.flags import flag, integer

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class DynUnc(TraceMethod):
    """Pick the highest dynamic uncertainty first.

    That is the standard deviation (over J − 1) of p_y, the probability of the label, within a window of J epochs, and
    the mean of it over the first K − J windows of K epochs: as in the authors' code, the last does not count.

    Attributes:
        window: J; all epochs are one window where there are no more.
    """

    source = "He et al., Large-scale Dataset Pruning with Dynamic Uncertainty, CVPR Workshops 2024"
    revision = 2  # 1 took the last window too

    window: int = flag(10, "--window", integer(2), "DynUnc: epochs that a deviation is over", "J")

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the mean deviation; zero where there was a single epoch."""
        confidence = trace.confidence  # [epochs, n]
        if len(confidence) == 1:
            return confidence[0] * 0
        windows = confidence.unfold(0, min(self.window, len(confidence)), 1)  # [K − J + 1, n, J]
        return windows[: max(len(windows) - 1, 1)].std(dim=2).mean(dim=0)
