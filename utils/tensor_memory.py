"""Memory for large intermediate results, taken from the system once and in huge pages where there are any."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def empty(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return an uninitialised tensor; on a CPU NumPy takes its memory, in huge pages where the system has them."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, torch.empty(0, dtype=dtype).numpy().dtype))
    return torch.empty(shape, dtype=dtype, device=device)


class Scratch:
    """Memory for two float64 blocks of at most ``values`` values each, which the next use overwrites."""

    def __init__(self, values: int, device: torch.device) -> None:
        self.first, self.second = (empty(values, dtype=torch.float64, device=device) for _ in range(2))

    def pair(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return the two blocks, uninitialised, [rows, columns] each."""
        count = rows * columns
        return self.first[:count].view(rows, columns), self.second[:count].view(rows, columns)
