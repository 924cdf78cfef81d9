"""EL2N: how far the predictions are from the labels, early in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from methods.score_method import TraceMethod
from utils.flags import flag, integer

if TYPE_CHECKING:
    from utils.training.training_trace import TrainingTrace


@dataclass(frozen=True)
class EL2N(TraceMethod):
    """Pick the highest mean of ‖p − y‖₂ over the first epochs first.

    The paper takes the mean over several networks at one early epoch. Here it is over the early epochs of one network,
    the proxy. With no epoch at all (-se 0) the network at initialisation is looked at once.

    Attributes:
        early_epochs: how many epochs count; all, where there are fewer.
    """

    source = "Paul et al., Deep Learning on a Data Diet: Finding Important Examples Early in Training, NeurIPS 2021"

    early_epochs: int = flag(10, "--early_epochs", integer(1), "EL2N: how many epochs of the proxy count", "N")

    def score(self, trace: TrainingTrace) -> Tensor:
        """Return the mean of ‖p − y‖₂."""
        return trace.error[: self.early_epochs].mean(dim=0)
