"""A small data set that needs no files."""

from __future__ import annotations

import torch

from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.data.registry import DataSpec


def make_data(train: int = 60, test: int = 30, held_out: int = 0, seed: int = 0) -> Data:
    """Images whose class is the bright third of their rows, with noise; the last ``held_out`` are not in the pool."""
    random = torch.Generator().manual_seed(seed)

    def split(n: int) -> MemoryImages:
        labels = torch.arange(n) % 3
        images = torch.randint(0, 120, (n, 1, 8, 8), generator=random)
        for row in range(6):
            images[labels == row // 2, :, row] += 100
        return MemoryImages(images.to(torch.uint8), labels)

    spec = DataSpec("Tiny", 1, 8, 3, ("a", "b", "c"), (0.3,), (0.2,), "none")
    indices = torch.arange(train)
    pool, kept = indices[: train - held_out], indices[train - held_out :]
    return Data(spec, split(train), split(test), pool, kept, f"tiny {train} {test} {held_out} {seed}")
