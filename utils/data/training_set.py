"""What a network is trained on: some images of a data set, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from utils.data.load import Data


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Images to train on, and the data set that they are tested on.

    Attributes:
        indices: int64 [n] into ``data.train``.
        weights: float32 [n], or None where every image counts the same.
    """

    data: Data
    indices: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.indices)
