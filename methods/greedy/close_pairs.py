"""The part of a matrix too large to hold that later picks still need: the pairs closer than what is picked.

Once a few samples are picked, a candidate j can only serve those samples i with D_ij below the distance to their
nearest pick, a share of about one in |S|. Of a row once computed these pairs make every further gain exact and
cheap; what the picks since then have made superfluous is dropped where memory runs short.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_INDEX = torch.int32
_SHRUNK = 0.95  # Σ_i nearest_i must have fallen to this share of itself before superfluous pairs are looked for again


class ClosePairs:
    """Of each candidate j whose row was computed, the samples i with D_ij < nearest_i at that time.

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
        self.starts = torch.zeros(n, dtype=torch.int64, device=device)  # where each candidate's pairs begin
        self.lengths = torch.full((n,), -1, dtype=torch.int64, device=device)  # how many they are; −1: not known
        self.filled, self.rows_at_once = 0, rows_at_once
        self.reach = math.inf  # Σ_i nearest_i when superfluous pairs were last dropped

    def known(self, candidates: Tensor) -> Tensor:
        """Whether the pairs of each of ``candidates`` (int64 [c]) are kept, bool [c]."""
        return self.lengths[candidates] >= 0

    def unknown(self) -> Tensor:
        """The candidates whose pairs are not kept, int64 [c]."""
        return (self.lengths < 0).nonzero()[:, 0]

    def keep(self, candidates: Tensor, rows: Tensor, nearest: Tensor) -> bool:
        """Keep the pairs of ``candidates`` (int64 [c]) below ``nearest`` [n]; False if there is no room for them.

        Args:
            rows: their distances, [c, n].
        """
        of, close = (rows < nearest).nonzero(as_tuple=True)  # [m] each
        if self.filled and self.filled + len(close) > len(self.samples):
            self._drop_superfluous(nearest)
        if self.filled + len(close) > len(self.samples):
            return False
        place = slice(self.filled, self.filled + len(close))
        self.samples[place], self.distances[place] = close.to(_INDEX), rows[of, close]
        self._set(candidates, of.bincount(minlength=len(candidates)), self.filled)
        self.filled = place.stop
        return True

    def savings(self, candidates: Tensor, nearest: Tensor) -> Tensor:
        """Σ_i max(0, nearest_i − D_ij) for each of the known ``candidates`` (int64 [c]), float64 [c].

        Args:
            nearest: [n], nowhere above what the pairs were chosen by.
        """
        lengths = self.lengths[candidates]
        owner = self._owners(lengths)  # [p]
        pair = torch.arange(len(owner), device=nearest.device)
        pair += (self.starts[candidates] - lengths.cumsum(dim=0) + lengths)[owner]  # [p]
        saved = nearest[self.samples[pair].long()].double() - self.distances[pair].double()  # [p]
        return torch.zeros(len(candidates), dtype=torch.float64, device=nearest.device).index_add_(
            0, owner, saved.clamp_(min=0)
        )

    def lower(self, nearest: Tensor, candidate: int) -> Tensor:
        """min(nearest_i, D_ij) for every i, [n]; the ``candidate`` j is known."""
        its = slice(int(self.starts[candidate]), int(self.starts[candidate] + self.lengths[candidate]))
        at = self.samples[its].long()
        return nearest.index_put((at,), torch.minimum(nearest[at], self.distances[its]))

    def _drop_superfluous(self, nearest: Tensor) -> None:
        """Move the pairs still below ``nearest`` together, if it has fallen enough since the last time."""
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
            needed = distances < nearest[samples.long()]
            count = int(needed.sum())
            place = slice(filled, filled + count)
            self.samples[place], self.distances[place] = samples[needed], distances[needed]
            self._set(candidates, self._owners(lengths)[needed].bincount(minlength=len(candidates)), filled)
            filled = place.stop
        self.filled = filled

    def _set(self, candidates: Tensor, lengths: Tensor, start: int) -> None:
        """Note that the pairs of ``candidates`` follow each other from ``start``."""
        self.lengths[candidates] = lengths
        self.starts[candidates] = start + lengths.cumsum(dim=0) - lengths

    def _owners(self, lengths: Tensor) -> Tensor:
        """The position of the row that each of its pairs belongs to, int64 [Σ lengths]."""
        return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
