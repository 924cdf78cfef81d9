"""L1 distances between rows, as fast as torch's kernels allow.

On a CPU ``torch.pdist`` is vectorised over coordinates; ``torch.cdist`` is not, and several times slower. So distances
between two sets of rows are taken from ``pdist`` of a few rows of both together, and the pairs within a set are thrown
away. A pair comes out the same to the last bit whatever rows surround it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_FEWEST, _MOST = 64, 256  # rows of a side taken together


def add_manhattan(target: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Add Σ_k |a_ik − b_jk| to ``target`` [r, c] in place and return it, for a [r, K] and b [c, K] of one dtype."""
    if a.device.type != "cpu":
        return target.add_(torch.cdist(a, b, p=1))
    for part, rows in zip(target.split(_MOST), a.split(_MOST), strict=True):
        width = max(_FEWEST, len(rows))
        for tile, columns in zip(part.split(width, dim=1), b.split(width), strict=True):
            tile += torch.pdist(torch.cat([rows, columns]), p=1)[_across(len(rows), len(columns))]
    return target


@lru_cache(maxsize=8)
def _across(r: int, c: int) -> Tensor:
    """Return where ``pdist`` of r + c rows puts the pairs of the first r with the others, int64 [r, c]."""
    i = torch.arange(r)
    first = i * (2 * (r + c) - i - 1) // 2 + r - i - 1  # [r]
    return first[:, None] + torch.arange(c)
