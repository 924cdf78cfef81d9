"""Facility location over a matrix too large to hold: rows are computed when needed, and their close pairs are kept.

Once a few samples are picked, a candidate j can only improve on those samples i with D_ij below the distance to their
nearest pick, a share of about one in |S|. These close pairs of a row that was computed make every later gain exact
and cheap. As more is picked some become superfluous; they are dropped where memory runs short.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.greedy.pairwise_matrix import PairwiseMatrix
from utils.device import moved

_INDEX = torch.int32
_SHRUNK = 0.95  # superfluous pairs are looked for again once Σ_i nearest_i has fallen to this share of itself


class RowCache:
    """What each candidate would save in distance to the nearest pick, from rows computed once where memory allows.

    ``nearest`` [n] is in every method the distance of each sample to its nearest pick. It never rises between calls.

    Args:
        matrix: distances D that are not held; its ``room`` bounds what is kept.
    """

    def __init__(self, matrix: PairwiseMatrix) -> None:
        self.matrix = matrix
        self.pairs = ClosePairs(matrix.n, matrix.dtype, matrix.device, matrix.room, matrix.rows_at_once)
        self.every_pair_taken = False
        self.wasted = 0  # rows that could have been computed together with others in the same time

    def savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        """Return Σ_i max(0, nearest_i − D_ij) for ``candidates``, float64 [m].

        Args:
            candidates: int64 [m] on the CPU, m ≤ ``rows_at_once``.
            nearest: [n].
        """
        known = self.pairs.known(candidates)  # [m]
        if known.all():
            return self.pairs.savings(candidates, nearest)
        new = candidates[~known]
        saved = self.pairs.savings(candidates[known], nearest)
        rows = self.matrix.rows(self.matrix.index(new))
        self.pairs.keep(new, rows, nearest)
        gained = self._total(nearest) - self.matrix.sums_of(torch.minimum(rows, nearest, out=rows))
        self._complete_in_time(len(rows), nearest)
        place = (~known).to(torch.int8).argsort(stable=True).argsort()  # of each candidate: those known come first
        return torch.cat([saved, gained])[self.matrix.index(place)]

    def all_savings(self, nearest: Tensor) -> Tensor:
        """Return the savings of every sample, float64 [n].

        The first call computes each pair once and keeps nothing; later ones go row by row and keep close pairs.
        """
        if not self.every_pair_taken:
            self.every_pair_taken = True
            return self._total(nearest) - self.matrix.sums_of_minima(nearest)
        everyone = torch.arange(self.matrix.n)
        return torch.cat([self.savings(part, nearest) for part in everyone.split(self.matrix.rows_at_once)])

    def lower(self, nearest: Tensor, candidate: int | Tensor) -> Tensor:
        """Return min(nearest_i, D_ij) of the ``candidate`` j (an index, or int64 [1]) for every i, [n]."""
        its = torch.tensor([int(candidate)])
        if self.pairs.known(its):
            return self.pairs.lower(nearest, int(its))
        row = self.matrix.rows(self.matrix.index(its))  # [1, n]
        self.pairs.keep(its, row, nearest)
        return torch.minimum(nearest, row[0])

    def _complete_in_time(self, computed: int, nearest: Tensor) -> None:
        """Compute all rows not known yet, once rows computed few at a time have wasted as much time as that takes."""
        self.wasted += max(0, self.matrix.batch - computed)
        unknown = self.pairs.unknown()
        if self.wasted > len(unknown) > 0:
            self.wasted = 0
            for part in unknown.split(self.matrix.rows_at_once):
                if not self.pairs.keep(part, self.matrix.rows(self.matrix.index(part)), nearest):
                    break

    @staticmethod
    def _total(nearest: Tensor) -> Tensor:
        return nearest.sum(dtype=torch.float64)


class ClosePairs:
    """The pairs (i, j) with D_ij < nearest_i, for every candidate j whose row was computed, as they were at that time.

    The pairs are on the device, and where each candidate's are is known on the host: nothing waits to look for them.

    Args:
        n: number of samples.
        dtype: of the distances.
        device: where they are.
        room: bytes that the pairs may take.
        rows_at_once: how many rows to go over at once in bounded memory.
    """

    def __init__(self, n: int, dtype: torch.dtype, device: torch.device, room: int, rows_at_once: int) -> None:
        capacity = room // (dtype.itemsize + _INDEX.itemsize)
        self.samples = torch.empty(capacity, dtype=_INDEX, device=device)  # i, the pairs of one row after another
        self.distances = torch.empty(capacity, dtype=dtype, device=device)  # D_ij
        self.starts = torch.zeros(n, dtype=torch.int64)  # where each candidate's pairs begin
        self.lengths = torch.full((n,), -1, dtype=torch.int64)  # how many they are; −1: not known
        self.filled, self.rows_at_once = 0, rows_at_once
        self.reach = math.inf  # Σ_i nearest_i when superfluous pairs were last dropped

    def known(self, candidates: Tensor) -> Tensor:
        """Return whether the pairs of each of ``candidates`` (int64 [c]) are kept, bool [c]."""
        return self.lengths[candidates] >= 0

    def unknown(self) -> Tensor:
        """Return the candidates whose pairs are not kept, int64 [c]."""
        return (self.lengths < 0).nonzero()[:, 0]

    def keep(self, candidates: Tensor, rows: Tensor, nearest: Tensor) -> bool:
        """Keep the pairs of ``candidates`` below ``nearest``; return False if there is no room for them.

        Args:
            candidates: int64 [c] on the CPU.
            rows: their distances, [c, n].
            nearest: [n].
        """
        if not len(self.samples):
            return False
        of, close, lengths = _positions(rows < nearest)  # [m], [m], [c]
        if self.filled and self.filled + len(close) > len(self.samples):
            self._drop_superfluous(nearest)
        if self.filled + len(close) > len(self.samples):
            return False
        place = slice(self.filled, self.filled + len(close))
        self.samples[place], self.distances[place] = close.to(_INDEX), rows[of, close]
        self._set(candidates, lengths, self.filled)
        self.filled = place.stop
        return True

    def savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        """Return Σ_i max(0, nearest_i − D_ij) for each of the known ``candidates`` (int64 [c]), float64 [c].

        Args:
            candidates: all of them known, on the CPU.
            nearest: [n], nowhere above what it was when the pairs were kept.
        """
        lengths = self.lengths[candidates]
        owner = self._owners(lengths)  # [p]
        pair = torch.arange(len(owner), device=nearest.device)
        pair += moved(self.starts[candidates] - lengths.cumsum(dim=0) + lengths, nearest.device)[owner]  # [p]
        saved = nearest[self.samples[pair].long()].double() - self.distances[pair].double()  # [p]
        return torch.zeros(len(candidates), dtype=torch.float64, device=nearest.device).index_add_(
            0, owner, saved.clamp_(min=0)
        )

    def lower(self, nearest: Tensor, candidate: int) -> Tensor:
        """Return min(nearest_i, D_ij) of the ``candidate`` j, which is known, for every i, [n]."""
        start = int(self.starts[candidate])
        its = slice(start, start + int(self.lengths[candidate]))
        at = self.samples[its].long()
        return nearest.index_put((at,), torch.minimum(nearest[at], self.distances[its]))

    def _drop_superfluous(self, nearest: Tensor) -> None:
        """Drop the pairs no longer below ``nearest``, if it has fallen enough since the last time."""
        reach = float(nearest.sum(dtype=torch.float64))
        if reach > _SHRUNK * self.reach:
            return
        self.reach = reach
        present = (self.lengths > 0).nonzero()[:, 0]
        filled = 0
        for candidates in present[self.starts[present].argsort()].split(self.rows_at_once):
            lengths = self.lengths[candidates]
            first = int(self.starts[candidates[0]])
            pairs = slice(first, first + int(lengths.sum()))
            samples, distances = self.samples[pairs], self.distances[pairs]
            needed = (distances < nearest[samples.long()]).nonzero()[:, 0]
            place = slice(filled, filled + len(needed))
            self.samples[place], self.distances[place] = samples[needed], distances[needed]
            self._set(candidates, self._owners(lengths)[needed].bincount(minlength=len(candidates)).cpu(), filled)
            filled = place.stop
        self.filled = filled

    def _set(self, candidates: Tensor, lengths: Tensor, start: int) -> None:
        """Record that the pairs of ``candidates`` follow each other from ``start``."""
        self.lengths[candidates] = lengths
        self.starts[candidates] = start + lengths.cumsum(dim=0) - lengths

    def _owners(self, lengths: Tensor) -> Tensor:
        """Return the position in ``lengths`` that each pair belongs to, int64 [Σ lengths], on the device."""
        device, total = self.samples.device, int(lengths.sum())
        return torch.arange(len(lengths), device=device).repeat_interleave(moved(lengths, device), output_size=total)


def _positions(mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of what is true in ``mask`` [c, n], int64 [m] each, and on the CPU how many a row has, [c].

    A GPU is waited for once.
    """
    if mask.device.type == "cpu":
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns, rows.bincount(minlength=len(mask))
    lengths = mask.sum(dim=1).cpu()
    count = torch.arange(1, int(lengths.sum()) + 1, device=mask.device)  # [m]
    flat = torch.searchsorted(mask.flatten().cumsum(dim=0), count)
    return flat // mask.shape[1], flat % mask.shape[1], lengths
