"""Holding out a part of the training set for validation."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.seeding import generator


def hold_out(labels: Tensor, ratio: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split every class at random: round(ratio · n_c) images are held out, at least one stays on either side.

    A class of one image keeps it for training.

    Args:
        labels: int64 [n].
        ratio: in (0, 1).

    Returns:
        pool [n − m] and held-out [m] indices, int64, ascending.
    """
    counts = labels.bincount()  # [C]
    quotas = (counts * ratio).round().long().clamp(min=1).minimum(counts - 1)  # [C]
    shuffled = torch.randperm(len(labels), generator=generator(seed, "val"))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]  # classes one after another, each shuffled
    label = labels[by_class]
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[label]  # place within the class
    held_out = rank < quotas[label]
    return by_class[~held_out].sort().values, by_class[held_out].sort().values
