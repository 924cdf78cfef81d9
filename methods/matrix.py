"""A pairwise matrix within a memory budget: held whole where it fits, else its rows computed on demand."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from methods.distances import Distance

_DEFAULT_SHARE = 0.5  # of the free memory


class PairwiseMatrix:
    """The rows of a symmetric n × n ``Distance``, the same to rounding whether held or computed again.

    Args:
        distance: what computes the matrix.
        memory_budget: bytes it may take beyond its inputs; None: half of what is free on its device.
    """

    def __init__(self, distance: Distance, memory_budget: int | None = None) -> None:
        budget = allowance(memory_budget, distance.device)
        self.n, self.device, self.dtype = distance.n, distance.device, distance.dtype
        self.distance = distance
        self.row_bytes = self.n * self.dtype.itemsize
        # Beside a row of results, computing it takes three float64 temporaries of its length.
        working_row_bytes = self.row_bytes + 3 * 8 * self.n
        self.held: Tensor | None = None
        if held_bytes(self.n, self.dtype) <= budget:
            self.held = distance.full()
        self.rows_at_once = max(1, min(self.n, 512, int(budget / 4 // max(working_row_bytes, 1))))
        self.cached_rows = 0 if self.held is not None else int(budget / 2 // max(self.row_bytes, 1))
        self.cache: OrderedDict[int, Tensor] = OrderedDict()

    def rows(self, indices: Tensor) -> Tensor:
        """The rows at ``indices`` (int64 [m], at most ``rows_at_once`` of them for bounded memory), [m, n]."""
        if self.held is not None:
            return self.held[indices]
        wanted = indices.tolist()
        missing = [i for i in wanted if i not in self.cache]
        fresh = {}
        if missing:
            at = torch.tensor(missing, device=self.device)
            fresh = dict(zip(missing, self.distance.block(at, slice(0, self.n)), strict=True))
        found = torch.stack([self._cached(i) if i in self.cache else fresh[i] for i in wanted])  # [m, n]
        for i, row in fresh.items():
            self._keep(i, row)
        return found

    def row(self, i: int) -> Tensor:
        """One row, [n]."""
        return self.rows(torch.tensor([i], device=self.device))[0]

    def bands(self) -> list[Tensor]:
        """Indices of all rows, in groups that may be asked for at once."""
        return list(torch.arange(self.n, device=self.device).split(self.rows_at_once))

    def band(self, indices: Tensor) -> Tensor:
        """Consecutive rows (int64 [m]) for a pass over everything, which would only flush the cache, [m, n]."""
        rows = slice(int(indices[0]), int(indices[-1]) + 1)
        return self.held[rows] if self.held is not None else self.distance.block(rows, slice(0, self.n))

    def maximum(self) -> float:
        """The largest value; a pass over everything where the matrix is not held."""
        return max((float(self.band(indices).max()) for indices in self.bands()), default=0.0)

    def bound(self) -> float:
        """A value that none exceeds, without a pass where the matrix is not held."""
        return self.maximum() if self.held is not None else self.distance.upper_bound()

    def offset(self) -> float:
        """What similarities are less distances: the distance's own offset, or its maximum."""
        return self.maximum() if self.distance.offset is None else self.distance.offset

    def _cached(self, i: int) -> Tensor:
        self.cache.move_to_end(i)
        return self.cache[i]

    def _keep(self, i: int, row: Tensor) -> None:
        if self.cached_rows:
            self.cache[i] = row.clone()
            if len(self.cache) > self.cached_rows:
                self.cache.popitem(last=False)


def allowance(memory_budget: int | None, device: torch.device) -> int:
    """The budget in bytes; by default half of what is free on ``device``."""
    return memory_budget if memory_budget is not None else int(_DEFAULT_SHARE * free_memory(device))


def held_bytes(n: int, dtype: torch.dtype) -> int:
    """What a held matrix takes at its peak: itself, and the condensed float64 triangle it is made from."""
    return n * n * dtype.itemsize + n * n // 2 * 8


def free_memory(device: torch.device) -> int:
    """Bytes free on ``device``."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
