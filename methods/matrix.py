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

_DEFAULT_SHARE = 0.5  # of the free memory
_WORKING_COPIES = 5  # float64 temporaries of a block that computing it takes
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
        self.sums, self.maximum = self._survey(roomy=roomy_bytes(self.n, self.dtype) <= budget)
        self.computed_rows = 0
        self.forget_rows()

    def forget_rows(self) -> None:
        """Give back the memory of the rows that were kept."""
        self.cache: OrderedDict[int, int] = OrderedDict()  # from a row to its place in ``kept``
        self.kept = torch.empty(0, self.n, dtype=self.dtype, device=self.device)

    def rows(self, indices: Tensor) -> Tensor:
        """A copy of the rows at ``indices`` (int64 [m], m ≤ ``rows_at_once`` for bounded memory), [m, n]."""
        if self.held is not None:
            return self.held.index_select(0, indices)
        wanted = indices.tolist()
        missing = [i for i in wanted if i not in self.cache]
        fresh: dict[int, Tensor] = {}
        if missing:
            block = self.distance.block(torch.tensor(missing, device=self.device), slice(0, self.n))
            self.computed_rows += len(missing)
            fresh = dict(zip(missing, block, strict=True))
        found = torch.stack([fresh[i] if i in fresh else self._cached(i) for i in wanted])  # [m, n]
        for i, row in fresh.items():
            self._keep(i, row)
        return found

    def row(self, i: int) -> Tensor:
        """One row, [n]."""
        return self.rows(torch.tensor([i], device=self.device))[0]

    def sums_of_minima(self, limits: Tensor) -> Tensor:
        """Σ_i min(limit_i, D_ij) for every j, float64 [n], in one pass over everything; ``limits`` is [n]."""
        if self.held is not None:
            bands = self.held.split(self.rows_at_once)
            return torch.cat([torch.minimum(band, limits).sum(dim=1, dtype=torch.float64) for band in bands])
        self.computed_rows += self.n // 2
        sums = torch.zeros_like(self.sums)
        for rows, exact in self.distance.triangle(self.rows_at_once):
            band = exact.to(self.dtype)  # [r, n − rows.start]
            beyond = band[:, len(band) :]  # [r, n − rows.stop]
            sums[rows] += torch.minimum(band, limits[rows.start :]).sum(dim=1, dtype=torch.float64)
            sums[rows.stop :] += torch.minimum(beyond, limits[rows, None]).sum(dim=0, dtype=torch.float64)
        return sums

    def offset(self) -> float:
        """What similarities are less distances: the distance's own offset, or its maximum."""
        return self.maximum if self.distance.offset is None else self.distance.offset

    def _survey(self, roomy: bool) -> tuple[Tensor, float]:
        """The sums of the rows and the maximum, each pair computed once; ``held`` is filled on the way."""
        sums = torch.zeros(self.n, dtype=torch.float64, device=self.device)
        maximum = torch.zeros((), dtype=torch.float64, device=self.device)
        for rows, band in self.distance.triangle(self.rows_at_once, roomy):
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

    def _cached(self, i: int) -> Tensor:
        self.cache.move_to_end(i)
        return self.kept[self.cache[i]]

    def _keep(self, i: int, row: Tensor) -> None:
        most = min(self.n, self.room // row.nbytes)
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
