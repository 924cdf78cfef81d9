"""Ties: of values that are equal to rounding, the lowest index comes first."""

from __future__ import annotations

import torch
from torch import Tensor

RELATIVE_TOLERANCE = 1e-9  # of the values compared
ABSOLUTE_TOLERANCE = 1e-12  # of the sums that the values compared are differences of


def first_highest(values: Tensor, scale: Tensor | float = 0.0) -> int:
    """Return the lowest index among the values that equal the highest to rounding.

    Args:
        values: floating [n].
        scale: size of the sums that the values are differences of, which bounds their rounding.
    """
    best = values.max()
    tolerance = RELATIVE_TOLERANCE * best.abs() + ABSOLUTE_TOLERANCE * scale
    return int((values >= best - tolerance).to(torch.int8).argmax())


def ranking(scores: Tensor) -> Tensor:
    """Return the indices of ``scores``, floating [n], from the highest down, int64 [n]; equal ones in index order.

    Neighbours in the ranking count as equal where they differ by at most 1e-9 of the smaller.
    """
    n = len(scores)
    values, order = scores.sort(descending=True, stable=True)
    above, below = values[:-1], values[1:]
    falls = above - below > RELATIVE_TOLERANCE * torch.minimum(above.abs(), below.abs())  # [n - 1]
    group = torch.nn.functional.pad(falls.cumsum(dim=0), (1, 0))[:n]  # [n]
    return (group * n + order).sort().values % max(n, 1)
