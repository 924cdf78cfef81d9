"""Memory for the blocks of a matrix that are computed one after another, taken from the system once."""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Room for two float64 blocks of at most ``values`` values each; what lies in them lasts until the next use."""

    def __init__(self, values: int, device: torch.device) -> None:
        self.first, self.second = (torch.empty(values, dtype=torch.float64, device=device) for _ in range(2))

    def pair(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """The two blocks, uninitialised, [rows, columns] each."""
        count = rows * columns
        return self.first[:count].view(rows, columns), self.second[:count].view(rows, columns)
