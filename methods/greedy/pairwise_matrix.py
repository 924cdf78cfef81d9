"""A pairwise matrix within a memory budget: held whole where it fits, else its rows computed on demand."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.greedy.distances import Distance
from utils.device import moved
from utils.memory import free_memory
from utils.tensor_memory import Scratch, empty

_DEFAULT_SHARE = 0.5  # of the free memory
_WORKING_COPIES = 4  # float64 temporaries of a block that computing it takes
_LEAST_BAND, _CPU_BAND, _BAND = 8, 256, 2048  # rows computed at once: on a CPU few enough for its cache
_HELD_BAND = 32  # the same, at least, of a matrix that is held
MINIMA_AT_ONCE = 1 << 22  # values in float64, which a GPU's cache holds


class PairwiseMatrix:
    """A symmetric n × n ``Distance`` by rows, the same to rounding whether held or computed on demand.

    Args:
        distance: what computes the matrix.
        memory_budget: bytes it may take beyond its inputs; None: half of what is free on its device.

    Attributes:
        n: the number of rows, which are as many as ``columns``.
        held: the matrix [n, columns] where the budget allows, else None.
        sums: of each row, float64 [n], before any rounding to ``dtype``.
        maximum: the largest value.
        rounding: a bound on the rounding error of the sum of a row.
        rows_at_once: how many rows may be asked for at once.
        batch: rows worth asking for at once even where fewer may do, since each request has a fixed cost.
        room: bytes left for a cache of rows computed on demand.

    Raises:
        UserError: distances that overflow their dtype.
    """

    def __init__(self, distance: Distance, memory_budget: int | None = None) -> None:
        self.distance, self.device, self.dtype = distance, distance.device, distance.dtype
        self.n, self.columns = self._shape()
        left = max(0, allowance(memory_budget, self.device) - distance.nbytes)
        roomy = self.n == self.columns and roomy_bytes(self.n, self.dtype) <= left
        row_bytes = max(self.columns * self.dtype.itemsize, 1)
        band_row_bytes = row_bytes + _WORKING_COPIES * 8 * self.columns
        self.held: Tensor | None = None
        if held_bytes(self.n, self.dtype, self.columns) <= left:
            self.held = empty(self.n, self.columns, dtype=self.dtype, device=self.device)
            spare, self.room = left - self.held.nbytes - roomy * condensed_bytes(self.n, self.dtype), 0
        else:
            spare, self.room = left // 8, left // 4 * 3
        band = _CPU_BAND if self.device.type == "cpu" else _BAND
        self.rows_at_once = min(self.n, band, max(_LEAST_BAND, spare // band_row_bytes))
        self.batch = 16 if self.held is None else 4
        self.scratch = Scratch(self.rows_at_once * self.columns, self.device)
        self.buffer = empty(self.rows_at_once, self.columns, dtype=self.dtype, device=self.device)
        self.sums, maximum = self._survey(roomy)
        self.rounding, self.maximum, *_ = distance.read(maximum, maximum.to(self.dtype), self.sums.amax())

    def rows(self, indices: Tensor) -> Tensor:
        """Return the rows at ``indices`` (int64 [m], m ≤ ``rows_at_once``), [m, columns]; the next use their memory."""
        found = self.buffer[: len(indices)]
        if self.held is not None:
            return torch.index_select(self.held, 0, indices, out=found)
        return found.copy_(self._computed(indices))

    def index(self, i: int | Tensor) -> Tensor:
        """Return the index of one sample, int64 [1], or indices of some, int64 [m], on the matrix's device."""
        return moved(i if isinstance(i, Tensor) else torch.tensor([i]), self.device)

    def row(self, i: int | Tensor) -> Tensor:
        """Return one row, [columns], in memory of its own."""
        return self.rows(self.index(i))[0].clone()

    def sums_of(self, rows: Tensor) -> Tensor:
        """Return the sum of each of ``rows`` [m, columns], m ≤ ``rows_at_once``, float64 [m]."""
        if self.device.type == "cpu" and rows.dtype != torch.float64:
            rows = self.scratch.pair(*rows.shape)[0].copy_(rows)  # faster than widening within the sum
        return rows.sum(dim=1, dtype=torch.float64)

    def sums_of_minima(self, limits: Tensor) -> Tensor:
        """Return Σ_i min(limit_i, D_ij) of every row j, float64 [n], from each pair once; ``limits`` is [columns]."""
        if self.held is None:
            return self._computed_sums_of_minima(limits)
        if self.device.type != "cpu":
            return self._sums_in_cache(self.held, limits.double())
        bands = self.held.split(self.rows_at_once)
        minima = (torch.minimum(band, limits, out=self.buffer[: len(band)]) for band in bands)
        return torch.cat([self.sums_of(each) for each in minima])

    def offset(self) -> float:
        """Return c of the similarities c − D: the distance's own offset, or its maximum."""
        return self.maximum if self.distance.offset is None else self.distance.offset

    def _shape(self) -> tuple[int, int]:
        """Return the number of rows and of columns."""
        return self.distance.n, self.distance.n

    def _computed(self, rows: Tensor) -> Tensor:
        """Return the rows at the given indices, float64 [m, columns], in ``scratch``."""
        return self.distance.block(rows, slice(0, self.columns), self.scratch)

    def _computed_sums_of_minima(self, limits: Tensor) -> Tensor:
        """Return what ``sums_of_minima`` does, where nothing is held."""
        sums, limits = torch.zeros_like(self.sums), limits.double()
        for rows, band in self.distance.triangle(self.rows_at_once, self.scratch):
            rounded = self.buffer.view(-1)[: band.numel()].view(band.shape)  # [r, n − rows.start]
            band.copy_(rounded.copy_(band))
            _, least = self.scratch.pair(*band.shape)
            sums[rows.stop :] += torch.minimum(band, limits[rows, None], out=least)[:, len(band) :].sum(dim=0)
            sums[rows] += torch.minimum(band, limits[rows.start :], out=least).sum(dim=1)
        return sums

    def _sums_in_cache(self, held: Tensor, limits: Tensor) -> Tensor:
        """Return the same on an accelerator: minima come in float64, and few enough at once for its cache."""
        bands = held.split(min(self.rows_at_once, max(1, MINIMA_AT_ONCE // self.columns)))
        minima = (torch.minimum(band, limits, out=self.scratch.pair(*band.shape)[0]) for band in bands)
        return torch.cat([each.sum(dim=1) for each in minima])

    def _survey(self, roomy: bool) -> tuple[Tensor, Tensor]:
        """Return the sums of the rows and the maximum, computing each pair once; fill ``held`` if there is one."""
        sums = torch.zeros(self.n, dtype=torch.float64, device=self.device)
        maximum = torch.zeros((), dtype=torch.float64, device=self.device)
        for rows, band in self.distance.triangle(self.rows_at_once, self.scratch, roomy):
            beyond = band[:, len(band) :]  # [r, n − rows.stop]
            sums[rows] += band.sum(dim=1)
            sums[rows.stop :] += beyond.sum(dim=0)
            maximum = torch.maximum(maximum, band.amax())
            if self.held is not None:
                self.held[rows, rows.start :] = band
                self.held[rows.stop :, rows] = self.held[rows, rows.stop :].T
        return sums, maximum


class CandidateRows(PairwiseMatrix):
    """The distances between candidates and the samples that they are to stand for.

    Args:
        distance: between g samples, and after them the candidates.
        ground: g; row j is of sample g + j, and the columns are the first g.
        memory_budget: as of a ``PairwiseMatrix``.
    """

    def __init__(self, distance: Distance, ground: int, memory_budget: int | None = None) -> None:
        self.ground = ground
        super().__init__(distance, memory_budget)

    def _shape(self) -> tuple[int, int]:
        return self.distance.n - self.ground, self.ground

    def _computed(self, rows: Tensor) -> Tensor:
        return super()._computed(rows + self.ground)

    def _computed_sums_of_minima(self, limits: Tensor) -> Tensor:
        parts = torch.arange(self.n, device=self.device).split(self.rows_at_once)
        minima = (torch.minimum(rows, limits, out=rows) for rows in map(self.rows, parts))
        return torch.cat([self.sums_of(each) for each in minima])

    def _survey(self, roomy: bool) -> tuple[Tensor, Tensor]:
        sums, maxima = [], []
        for rows in torch.arange(self.n, device=self.device).split(self.rows_at_once):
            block = self._computed(rows)
            sums.append(block.sum(dim=1))
            maxima.append(block.max())
            if self.held is not None:
                self.held[rows] = block.to(self.dtype)
        return torch.cat(sums), torch.stack(maxima).max()


def allowance(memory_budget: int | None, device: torch.device) -> int:
    """Return the budget in bytes, by default half of what is free on ``device``."""
    return int(_DEFAULT_SHARE * free_memory(device) if memory_budget is None else memory_budget)


def held_bytes(n: int, dtype: torch.dtype, columns: int | None = None) -> int:
    """Return the bytes to hold a matrix, n × n without ``columns``: itself, and a band of rows being computed."""
    columns = n if columns is None else columns
    return n * columns * dtype.itemsize + min(n, _HELD_BAND) * columns * (dtype.itemsize + 8 * _WORKING_COPIES)


def roomy_bytes(n: int, dtype: torch.dtype) -> int:
    """Return the bytes to hold an n × n matrix and to compute it the fast way, from a condensed triangle."""
    return held_bytes(n, dtype) + condensed_bytes(n, dtype)


def condensed_bytes(n: int, dtype: torch.dtype) -> int:
    """Return the bytes of half an n × n matrix."""
    return n * n // 2 * dtype.itemsize
