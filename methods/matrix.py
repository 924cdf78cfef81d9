"""A pairwise matrix within a memory budget: held whole where it fits, else its rows computed on demand."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from methods.distances import Distance
from methods.features import refuse_overflow
from methods.scratch import Scratch

_DEFAULT_SHARE = 0.5  # of the free memory
_WORKING_COPIES = 4  # float64 temporaries of a block that computing it takes
_LEAST_BAND, _CPU_BAND, _BAND = 8, 256, 2048  # rows computed at once: on a CPU few enough for its cache
_HELD_BAND = 32  # the same, at least, of a matrix that is held


class PairwiseMatrix:
    """The rows of a symmetric n × n ``Distance``, the same to rounding whether held or computed again.

    Args:
        distance: what computes the matrix.
        memory_budget: bytes it may take beyond its inputs; None: half of what is free on its device.

    Attributes:
        held: the matrix [n, n] where the budget allows, else None.
        sums: of each row, float64 [n], before any rounding to ``dtype``.
        maximum: the largest value.
        rows_at_once: how many rows may be asked for at once.
        batch: how many are worth asking for where one may do: computing them costs a pass over the factors.
        computed_rows: how many rows were computed on demand so far.
        room: bytes for keeping some of them, or what stands for them.

    Raises:
        UserError: distances that overflow their dtype.
    """

    def __init__(self, distance: Distance, memory_budget: int | None = None) -> None:
        self.distance = distance
        self.n, self.device, self.dtype = distance.n, distance.device, distance.dtype
        budget = allowance(memory_budget, self.device)
        row_bytes = max(self.n * self.dtype.itemsize, 1)
        band_row_bytes = row_bytes + _WORKING_COPIES * 8 * self.n
        self.held: Tensor | None = None
        if held_bytes(self.n, self.dtype) <= budget:
            self.held = _square(self.n, self.dtype, self.device)
            spare, self.room = budget - self.held.nbytes, 0
        else:
            left = max(0, budget - distance.nbytes)
            spare, self.room = left // 8, left // 4 * 3
        band = _CPU_BAND if self.device.type == "cpu" else _BAND
        self.rows_at_once = min(self.n, band, max(_LEAST_BAND, spare // band_row_bytes))
        self.batch = 16 if self.held is None else 4
        self.scratch = Scratch(self.rows_at_once * self.n, self.device)
        self.buffer = torch.empty(self.rows_at_once, self.n, dtype=self.dtype, device=self.device)
        self.sums, self.maximum = self._survey(roomy=roomy_bytes(self.n, self.dtype) <= budget)
        self.computed_rows = 0
        self.forget_rows()

    def forget_rows(self) -> None:
        """Give back the memory of the rows that were kept."""
        self.cache: OrderedDict[int, int] = OrderedDict()  # from a row to its place in ``kept``
        self.kept = torch.empty(0, self.n, dtype=self.dtype, device=self.device)

    def rows(self, indices: Tensor) -> Tensor:
        """The rows at ``indices`` (int64 [m], m ≤ ``rows_at_once``), [m, n], in memory that the next call reuses."""
        found = self.buffer[: len(indices)]
        if self.held is not None:
            return torch.index_select(self.held, 0, indices, out=found)
        wanted = indices.tolist()
        missing = [i for i in wanted if i not in self.cache]
        fresh = dict(zip(missing, self._computed(missing), strict=True)) if missing else {}
        for row, i in zip(found, wanted, strict=True):
            row.copy_(fresh[i] if i in fresh else self._cached(i))
        for i, row in fresh.items():
            self._keep(i, row)
        return found

    def fresh_rows(self, indices: Tensor) -> Tensor:
        """The same, computed whatever is held or kept, and not kept."""
        return self.buffer[: len(indices)].copy_(self._computed(indices.tolist()))

    def row(self, i: int) -> Tensor:
        """One row, [n], in memory of its own."""
        return self.rows(torch.tensor([i], device=self.device))[0].clone()

    def sums_of_minima(self, limits: Tensor, indices: Tensor) -> Tensor:
        """Σ_i min(limit_i, D_ij) for the j at ``indices`` (int64 [m], m ≤ ``rows_at_once``), float64 [m].

        Args:
            limits: [n].
        """
        rows = self.rows(indices)
        return self._sums(torch.minimum(rows, limits, out=rows))

    def all_sums_of_minima(self, limits: Tensor) -> Tensor:
        """The same for every j, float64 [n], in one pass over everything."""
        if self.held is not None:
            bands = self.held.split(self.rows_at_once)
            return torch.cat([self._sums(torch.minimum(each, limits, out=self.buffer[: len(each)])) for each in bands])
        self.computed_rows += self.n // 2
        sums, limits = torch.zeros_like(self.sums), limits.double()
        for rows, band in self.distance.triangle(self.rows_at_once, self.scratch):
            rounded = self.buffer.view(-1)[: band.numel()].view(band.shape)  # [r, n − rows.start]
            band.copy_(rounded.copy_(band))
            _, least = self.scratch.pair(*band.shape)
            sums[rows.stop :] += torch.minimum(band, limits[rows, None], out=least)[:, len(band) :].sum(dim=0)
            sums[rows] += torch.minimum(band, limits[rows.start :], out=least).sum(dim=1)
        return sums

    def _sums(self, rows: Tensor) -> Tensor:
        """Of each of ``rows`` [m, n], float64 [m]; a CPU widens them faster before the sum than in it."""
        if self.device.type == "cpu" and rows.dtype != torch.float64:
            rows = self.scratch.pair(*rows.shape)[0].copy_(rows)
        return rows.sum(dim=1, dtype=torch.float64)

    def offset(self) -> float:
        """What similarities are less distances: the distance's own offset, or its maximum."""
        return self.maximum if self.distance.offset is None else self.distance.offset

    def _survey(self, roomy: bool) -> tuple[Tensor, float]:
        """The sums of the rows and the maximum, each pair computed once; ``held`` is filled on the way."""
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
        refuse_overflow(sums)
        refuse_overflow(maximum.to(self.dtype))
        return sums, float(maximum)

    def _computed(self, indices: list[int]) -> Tensor:
        """Rows in float64, [m, n], in memory that the next block reuses."""
        self.computed_rows += len(indices)
        return self.distance.block(torch.tensor(indices, device=self.device), slice(0, self.n), self.scratch)

    def _cached(self, i: int) -> Tensor:
        self.cache.move_to_end(i)
        return self.kept[self.cache[i]]

    def _keep(self, i: int, row: Tensor) -> None:
        most = min(self.n, self.room // self.buffer[0].nbytes)
        if not most:
            return
        if not len(self.kept):
            self.kept = torch.empty(most, self.n, dtype=self.dtype, device=self.device)  # taken as it is filled
        place = len(self.cache) if len(self.cache) < most else self.cache.popitem(last=False)[1]
        self.kept[place] = row
        self.cache[i] = place


def _square(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised n × n matrix; on a CPU NumPy takes its memory, in huge pages where the system has them."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty((n, n), torch.empty(0, dtype=dtype).numpy().dtype))
    return torch.empty(n, n, dtype=dtype, device=device)


def allowance(memory_budget: int | None, device: torch.device) -> int:
    """The budget in bytes; by default half of what is free on ``device``."""
    return int(_DEFAULT_SHARE * free_memory(device) if memory_budget is None else memory_budget)


def held_bytes(n: int, dtype: torch.dtype) -> int:
    """What it takes to hold an n × n matrix: itself, and a band of rows in the making."""
    return n * n * dtype.itemsize + min(n, _HELD_BAND) * n * (dtype.itemsize + 8 * _WORKING_COPIES)


def roomy_bytes(n: int, dtype: torch.dtype) -> int:
    """What it takes to hold one and to make it the fast way, from a condensed float64 triangle."""
    return held_bytes(n, dtype) + n * n // 2 * 8


def free_memory(device: torch.device) -> int:
    """Bytes free on ``device``; where the system does not tell, all there are."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
