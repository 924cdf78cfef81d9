"""Facility location and graph cut over many classes at once: one pass over a padded batch of matrices picks from each.

On an accelerator a thousand small classes would otherwise cost a thousand launches for every pick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.greedy.clusters import beginnings, cluster_sizes
from methods.greedy.distances import Distance
from methods.greedy.optimizers import exact_greedy, read_picks
from methods.greedy.pairwise_matrix import MINIMA_AT_ONCE, PairwiseMatrix, allowance, held_bytes
from methods.greedy.set_functions import FacilityLocation, GraphCut, SetFunction
from utils.data.coreset import Coreset
from utils.device import moved

BATCHED: tuple[type[SetFunction], ...] = (FacilityLocation, GraphCut)
_VECTORS = 10  # float64 values of each sample in a batch: gains, nearest picks, and what a pass makes of them


def batched_greedy(
    distances: Iterable[Distance],
    budgets: Sequence[Sequence[int]],
    device: torch.device,
    memory_budget: int | None,
    weighted: bool = False,
    function: type[SetFunction] = FacilityLocation,
) -> list[list[Coreset]]:
    """Pick from every class by naive greedy, as many classes at once as ``memory_budget`` allows.

    A class whose matrix does not fit by itself is picked from alone, within the same budget.

    Args:
        distances: of each class; an iterator may make them one by one.
        budgets: how many to pick from each, once or several times.
        device: where the distances are.
        memory_budget: bytes to take, one class's distances included; None: half of what is free.
        weighted: whether each pick weighs as many samples as it is the nearest pick to.
        function: what to maximise, one of ``BATCHED``.
    """
    room = allowance(memory_budget, device)
    picks: list[list[Coreset]] = []
    waiting: list[_Class] = []

    def flush() -> None:
        picks.extend(_pick_batch(waiting, budgets[len(picks) : len(picks) + len(waiting)], weighted, function))
        waiting.clear()

    for distance in distances:
        left = room - distance.nbytes
        if batch_bytes([*(len(each.gains) for each in waiting), distance.n], distance.dtype) > left:
            flush()
        if batch_bytes([distance.n], distance.dtype) > left:
            alone = function(PairwiseMatrix(distance, room))
            picks.append(_pick_alone(alone, budgets[len(picks)], weighted))
            del alone
        else:
            waiting.append(_Class.of(distance, room - sum(each.distances.nbytes for each in waiting), function))
        del distance  # before the next one is made
    flush()
    return picks


def batch_bytes(sizes: Sequence[int], dtype: torch.dtype) -> int:
    """Return the bytes that classes of these ``sizes`` take together, from the last one's matrix to their picks.

    Picking takes their matrices, the same stacked, and minima with the distances to the nearest picks in float64.
    """
    waiting = sum(n * n for n in sizes[:-1]) * dtype.itemsize
    largest = max(sizes)
    values = len(sizes) * largest**2
    minima = 8 * min(values, max(MINIMA_AT_ONCE, len(sizes) * largest))
    picking = values * 2 * dtype.itemsize + minima + len(sizes) * largest * 8 * _VECTORS
    return max(waiting + held_bytes(sizes[-1], dtype), picking)


def _pick_alone(function: SetFunction, sizes: Sequence[int], weighted: bool) -> list[Coreset]:
    picks = exact_greedy(function, max(sizes))
    return beginnings(picks, sizes, cluster_sizes(function.matrix, picks, sizes) if weighted else None)


@dataclass(frozen=True, eq=False)
class _Class:
    """A class that waits for its batch: distances [n, n], first gains float64 [n], their tolerance, and the offset."""

    distances: Tensor
    gains: Tensor
    tolerance: float
    offset: float

    @classmethod
    def of(cls, distance: Distance, room: int, kind: type[SetFunction]) -> _Class:
        """Compute the matrix within ``room`` bytes, which it fits into, and keep nothing of what that takes beside."""
        matrix = PairwiseMatrix(distance, room)
        if matrix.held is None:
            raise ValueError(f"a matrix of {distance.n} samples does not fit into {room} bytes")
        function = kind(matrix)
        return cls(matrix.held, function.all_gains(), function.tolerance, function.offset)


def _pick_batch(
    classes: Sequence[_Class], budgets: Sequence[Sequence[int]], weighted: bool, function: type[SetFunction]
) -> list[list[Coreset]]:
    """Pick greedily from held matrices, the lowest index on ties, with no transfer to the host before the last pick."""
    if not classes:
        return []
    padded = _pad([each.distances for each in classes], 0.0)  # [B, n, n]
    gains = _pad([each.gains for each in classes], -torch.inf)  # [B, n]
    numbers = torch.tensor([(each.tolerance, each.offset) for each in classes], dtype=torch.float64)
    tolerance, offset = moved(numbers, gains.device).unbind(dim=1)  # [B] each
    taken = gains.isneginf()
    clusters = _Clusters(~taken, {size for sizes in budgets for size in sizes}) if weighted else None
    everyone = torch.arange(len(padded), device=padded.device)
    nearest = row = padded.new_full(gains.shape, torch.inf)
    history: list[tuple[Tensor, Tensor]] = []
    for step in range(max(max(sizes) for sizes in budgets)):
        if step and function is GraphCut:
            gains = gains - 2 * (offset[:, None] - row.double())
        elif step:
            gains = nearest.sum(dim=1, dtype=torch.float64)[:, None] - _sums_of_minima(padded, nearest)
        gains.masked_fill_(taken, -torch.inf)
        tied = gains >= (gains.amax(dim=1) - tolerance)[:, None]  # [B, n]
        pick = tied.to(torch.int8).argmax(dim=1)  # [B]
        history.append((pick, gains[everyone, pick]))
        taken[everyone, pick] = True
        row = padded[everyone, pick]  # [B, n]
        if clusters is not None:
            clusters.add(row < nearest)
        nearest = torch.minimum(nearest, row)
    picks, added = read_picks(*(torch.stack(each, dim=1) for each in zip(*history, strict=True)))  # [B, k] each
    counts = None if clusters is None else clusters.counts()
    found = []
    for b, sizes in enumerate(budgets):
        largest = Coreset(picks[b, : max(sizes)], gains=added[b, : max(sizes)])
        found.append(beginnings(largest, sizes, None if counts is None else [counts[size][b] for size in sizes]))
    return found


class _Clusters:
    """How many samples of each class in a batch are nearest to each pick; at equal distances the earlier pick counts.

    Args:
        samples: which are any, and no padding, bool [B, n].
        sizes: numbers of picks at which to count.
    """

    def __init__(self, samples: Tensor, sizes: Collection[int]) -> None:
        self.samples, self.sizes, self.picked = samples.float(), sizes, 0
        self.owner = torch.zeros(samples.shape, dtype=torch.int64, device=samples.device)  # [B, n]
        self.found: dict[int, Tensor] = {}

    def add(self, closer: Tensor) -> None:
        """Take in a pick of each class, and which samples it is closer to than all before, bool [B, n]."""
        self.owner.masked_fill_(closer, self.picked)
        self.picked += 1
        if self.picked in self.sizes:
            batch = len(self.owner)
            first = torch.arange(0, batch * self.picked, self.picked, device=self.owner.device)  # [B]
            counts = self.samples.new_zeros(batch * self.picked)
            counts.index_add_(0, (first[:, None] + self.owner).flatten(), self.samples.flatten())
            self.found[self.picked] = counts.view(batch, self.picked)

    def counts(self) -> dict[int, np.ndarray]:
        """Return the counts at each size k, float32 [B, k]."""
        together = torch.cat(list(self.found.values()), dim=1).cpu()  # [B, Σ k]
        parts = together.split(list(self.found), dim=1)
        return {size: part.numpy() for size, part in zip(self.found, parts, strict=True)}


def _sums_of_minima(matrices: Tensor, limits: Tensor) -> Tensor:
    """Return Σ_i min(limit_i, D_ji) for every row j, float64 [B, n]: ``matrices`` [B, n, n], limits [B, n].

    A few rows of each matrix at a time, so that the minima stay in a GPU's cache.
    """
    wide = limits.double()[:, None]  # [B, 1, n]
    rows = max(1, MINIMA_AT_ONCE // limits.numel())
    return torch.cat([torch.minimum(part, wide).sum(dim=2) for part in matrices.split(rows, dim=1)], dim=1)


def _pad(tensors: Sequence[Tensor], value: float) -> Tensor:
    """Return tensors of different lengths filled up with ``value`` and stacked."""
    lengths = [max(lengths) for lengths in zip(*(tensor.shape for tensor in tensors), strict=True)]
    padded = tensors[0].new_full((len(tensors), *lengths), value)
    for target, tensor in zip(padded, tensors, strict=True):
        target[tuple(slice(0, length) for length in tensor.shape)] = tensor
    return padded
