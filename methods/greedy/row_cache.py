"""What facility location asks of a matrix too large to hold: rows when they are needed, what matters of them kept."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.greedy.close_pairs import ClosePairs
from methods.greedy.pairwise_matrix import PairwiseMatrix


class RowsOnDemand:
    """Savings by candidates of ``matrix``; the close pairs of their rows are kept where there is room.

    ``nearest`` [n] is everywhere the distance to the nearest of a growing set, and so never rises between calls.
    """

    def __init__(self, matrix: PairwiseMatrix) -> None:
        self.matrix = matrix
        self.pairs = ClosePairs(matrix.n, matrix.dtype, matrix.device, matrix.room, matrix.rows_at_once)
        self.every_pair_taken = False
        self.wasted = 0  # rows that could have been computed together with others in the same time

    def savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        """Σ_i max(0, nearest_i − D_ij) for each of ``candidates`` (int64 [m], m ≤ ``rows_at_once``), float64 [m]."""
        saved = torch.empty(len(candidates), dtype=torch.float64, device=nearest.device)
        known = self.pairs.known(candidates)  # [m]
        saved[known] = self.pairs.savings(candidates[known], nearest)
        if not bool(known.all()):
            rows = self.matrix.rows(candidates[~known])
            self.pairs.keep(candidates[~known], rows, nearest)
            saved[~known] = self._total(nearest) - self.matrix.sums_of(torch.minimum(rows, nearest, out=rows))
            self._complete_in_time(len(rows), nearest)
        return saved

    def all_savings(self, nearest: Tensor) -> Tensor:
        """The same of every sample, float64 [n]: at first each pair once, which keeps nothing, then row by row."""
        if not self.every_pair_taken:
            self.every_pair_taken = True
            return self._total(nearest) - self.matrix.sums_of_minima(nearest)
        everyone = torch.arange(self.matrix.n, device=nearest.device)
        return torch.cat([self.savings(part, nearest) for part in everyone.split(self.matrix.rows_at_once)])

    def lower(self, nearest: Tensor, candidate: int) -> Tensor:
        """min(nearest_i, D_ij) for every i, [n]."""
        its = torch.tensor([candidate], device=nearest.device)
        if self.pairs.known(its):
            return self.pairs.lower(nearest, candidate)
        row = self.matrix.rows(its)  # [1, n]
        self.pairs.keep(its, row, nearest)
        return torch.minimum(nearest, row[0])

    def _complete_in_time(self, computed: int, nearest: Tensor) -> None:
        """Compute all rows not known yet, once those computed few at a time have cost as much as these will."""
        self.wasted += max(0, self.matrix.batch - computed)
        unknown = self.pairs.unknown()
        if self.wasted > len(unknown) > 0:
            self.wasted = 0
            for part in unknown.split(self.matrix.rows_at_once):
                if not self.pairs.keep(part, self.matrix.rows(part), nearest):
                    break

    @staticmethod
    def _total(nearest: Tensor) -> Tensor:
        return nearest.sum(dtype=torch.float64)
