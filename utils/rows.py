"""A matrix that is not held: its rows lie in npy files, or in a memory-mapped array, and are read when asked for."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError

_AT_ONCE = 1 << 22  # values of a block
_ROWS = 64  # read between two returns of pages: far from each other, each of them maps many more pages than its own


class Rows:
    """The rows of a floating matrix [n, width], in shards one after another.

    A file is mapped only while rows of it are read. Half precision is read as float32.

    Args:
        shards: npy files or arrays, [n_i, width] each, of one dtype.

    Attributes:
        shape: (n, width).
        dtype: of the rows read, float32 or float64.

    Raises:
        UserError: a shard that is no sound npy file of such a matrix, or shards that differ in width or dtype.
    """

    def __init__(self, shards: Sequence[Path | np.ndarray]) -> None:
        self._shards = tuple(shards)
        kinds = set()
        starts = [0]
        for shard in self._shards:
            array = open_array(shard)
            if array.ndim != 2 or array.dtype.kind != "f":
                raise UserError(
                    f"{_name(shard)} is a matrix of floating-point numbers, not {array.dtype} {list(array.shape)}"
                )
            kinds.add((array.dtype, array.shape[1]))
            starts.append(starts[-1] + len(array))
        if len(kinds) != 1:
            found = ", ".join(f"{dtype} [n, {width}]" for dtype, width in sorted(kinds, key=str)) or "none"
            raise UserError(f"the shards of a matrix are of one dtype and width; found {found}")
        ((dtype, width),) = kinds
        self._starts = starts
        self.shape = (starts[-1], width)
        self.dtype = torch.float64 if dtype.itemsize == 8 else torch.float32

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, indices: Tensor) -> Tensor:
        """Return the rows at ``indices`` (int64 [m]), [m, width] on the CPU, in memory of their own."""
        wanted = indices.cpu().numpy()
        found = np.empty((len(wanted), self.shape[1]), np.float64 if self.dtype == torch.float64 else np.float32)
        for start, stop, shard in zip(self._starts, self._starts[1:], self._shards, strict=False):
            here = np.flatnonzero((wanted >= start) & (wanted < stop))
            array = open_array(shard) if len(here) else np.empty(0)
            for first in range(0, len(here), _ROWS):
                places = here[first : first + _ROWS]
                found[places] = array[wanted[places] - start]
                _release(array)
        return torch.from_numpy(found)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all rows in order, some at a time, [b, width] each."""
        for indices in torch.arange(len(self)).split(max(1, _AT_ONCE // max(self.shape[1], 1))):
            yield self.read(indices)


def open_array(shard: Path | np.ndarray) -> np.ndarray:
    """Return an array, or that in an npy file, memory-mapped.

    Raises:
        UserError: the file is missing, cut off, or no npy file without pickled objects.
    """
    if isinstance(shard, np.ndarray):
        return shard
    try:
        return np.load(shard, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {shard}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{shard} is not a sound npy file without pickled objects: {error}") from error


def _release(array: np.ndarray) -> None:
    """Give the pages of a mapped file back, which would count as memory of this process."""
    if isinstance(array, np.memmap) and array.mode == "r" and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)


def _name(shard: Path | np.ndarray) -> str:
    return str(shard) if isinstance(shard, Path) else "each shard"
