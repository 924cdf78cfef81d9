"""The nearest neighbours of samples by their embeddings, in bands of rows that fit in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.greedy.distances import OuterDistance
from methods.greedy.pairwise_matrix import allowance
from methods.tie_breaking import RELATIVE_TOLERANCE

_ROWS_AT_ONCE = 512
_COPIES = 8  # float64 temporaries of the length of a row of distances


def outer_distance(z: Tensor) -> OuterDistance:
    """Return the Euclidean distance between embeddings, float64 [n, d]."""
    return OuterDistance(torch.ones_like(z[:, :1]), z - z.mean(dim=0), z.dtype)


def bands_within(distance: OuterDistance, memory_budget: int | None, *held: Tensor) -> tuple[Tensor, ...]:
    """Return 0 … n − 1 in bands of as many rows of ``n`` distances as the memory budget has room for.

    Args:
        distance: between n samples.
        memory_budget: bytes for all; None: half of what is free.
        held: what lies in memory beside the distance's factors and the bands.
    """
    taken = distance.nbytes + sum(each.nbytes for each in held)
    rows = int((allowance(memory_budget, distance.device) - taken) // (_COPIES * 8 * distance.n))
    return torch.arange(distance.n, device=distance.device).split(max(1, min(rows, _ROWS_AT_ONCE)))


def neighbours(distance: OuterDistance, rows: Tensor, count: int) -> Tensor:
    """Return the ``count`` other samples nearest to each of ``rows``, in ascending order; int64 [r, ≤ count].

    The lowest index wins among equal distances.

    Args:
        distance: between embeddings.
        rows: int64 [r].
        count: fewer where there are no more samples.
    """
    count = min(count, distance.n - 1)
    if not count:
        return rows.new_empty(len(rows), 0)
    away = distance.exact(rows, slice(0, distance.n))  # [r, n]
    away.scatter_(1, rows[:, None], torch.inf)
    reach = away.topk(count, largest=False).values[:, -1:]  # [r, 1]
    inside = away < reach * (1 - RELATIVE_TOLERANCE)
    tied = (away <= reach * (1 + RELATIVE_TOLERANCE)) & ~inside
    missing = count - inside.sum(dim=1, keepdim=True)
    nearest = inside | (tied & (tied.cumsum(dim=1, dtype=torch.int32) <= missing))
    return nearest.nonzero()[:, 1].view(len(rows), count)  # [r, count]
