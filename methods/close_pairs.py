"""The part of a matrix too large to hold that later picks still need: the pairs closer than what is picked.

Once a few samples are picked, a candidate j can only serve those samples i with D_ij below the distance to their
nearest pick, a share of about one in |S|. Kept as lists, these pairs make every further gain exact and cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.matrix import PairwiseMatrix

_SAMPLED_ROWS = 64
_INDEX = torch.int32


@dataclass(frozen=True, eq=False)
class ClosePairs:
    """Of each candidate j the samples i with D_ij < limit_i, as compressed rows.

    Attributes:
        starts: where each candidate's list begins, and the end of the last, int64 [n + 1].
        samples: i, int32 [m].
        distances: D_ij in the dtype of the matrix, [m].
        candidates_at_once: how many lists to go over at once in bounded memory.
    """

    starts: Tensor
    samples: Tensor
    distances: Tensor
    candidates_at_once: int

    @classmethod
    def within(cls, matrix: PairwiseMatrix, limits: Tensor, room: int) -> ClosePairs | None:
        """All pairs below ``limits`` [n], in one pass; None where they take more than ``room`` bytes."""
        capacity = room // (matrix.dtype.itemsize + _INDEX.itemsize)
        if _estimate(matrix, limits) > capacity:
            return None
        matrix.forget_rows()
        samples = torch.empty(capacity, dtype=_INDEX, device=matrix.device)
        distances = torch.empty(capacity, dtype=matrix.dtype, device=matrix.device)
        starts = torch.zeros(matrix.n + 1, dtype=torch.int64, device=matrix.device)
        filled = 0
        for candidates in torch.arange(matrix.n, device=matrix.device).split(matrix.rows_at_once):
            rows = matrix.fresh_rows(candidates)  # [r, n]
            of, close = (rows < limits).nonzero(as_tuple=True)  # [m] each
            before, filled = filled, filled + len(close)
            if filled > capacity:
                return None
            samples[before:filled] = close
            distances[before:filled] = rows[of, close]
            starts[candidates + 1] = before + of.bincount(minlength=len(rows)).cumsum(dim=0)
        return cls(starts, samples[:filled], distances[:filled], matrix.rows_at_once)

    def savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        """Σ_i max(0, nearest_i − D_ij) for each of ``candidates`` (int64 [c]), float64 [c].

        Args:
            nearest: [n], nowhere above the limits that the pairs were chosen by.
        """
        return torch.cat([self._savings(part, nearest) for part in candidates.split(self.candidates_at_once)])

    def lower(self, nearest: Tensor, candidate: int) -> Tensor:
        """min(nearest_i, D_ij) for every i, [n]."""
        its = slice(int(self.starts[candidate]), int(self.starts[candidate + 1]))
        at = self.samples[its].long()
        return nearest.index_put((at,), torch.minimum(nearest[at], self.distances[its]))

    def _savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        first, lengths = self.starts[candidates], self.starts[candidates + 1] - self.starts[candidates]
        ends = lengths.cumsum(dim=0)
        owner = torch.arange(len(candidates), device=nearest.device).repeat_interleave(lengths)  # [p]
        pair = torch.arange(len(owner), device=nearest.device) + (first - ends + lengths)[owner]  # [p]
        saved = nearest[self.samples[pair].long()].double() - self.distances[pair].double()  # [p]
        return torch.zeros(len(candidates), dtype=torch.float64, device=nearest.device).index_add_(
            0, owner, saved.clamp_(min=0)
        )


def _estimate(matrix: PairwiseMatrix, limits: Tensor) -> float:
    """About how many pairs lie below ``limits``, from evenly spaced rows."""
    count = min(_SAMPLED_ROWS, matrix.n)
    sampled = torch.arange(count, device=matrix.device) * matrix.n // count  # [count]
    close = sum(int((matrix.fresh_rows(part) < limits).sum()) for part in sampled.split(matrix.rows_at_once))
    return close / count * matrix.n
