"""Facility location over many classes at once: one pass over a padded batch of matrices gives each a pick.

On an accelerator a thousand small classes would otherwise cost a thousand launches for every pick.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.greedy.distances import Distance
from methods.greedy.optimizers import naive_greedy
from methods.greedy.pairwise_matrix import PairwiseMatrix, allowance, held_bytes
from methods.greedy.set_functions import FacilityLocation
from utils.data.coreset import Coreset

_VECTORS = 8  # float64 values of each sample in a batch: gains, nearest picks, and what a pass makes of them


def batched_facility_location(
    distances: Iterable[Distance], budgets: Sequence[int], device: torch.device, memory_budget: int | None
) -> list[Coreset]:
    """Pick from every class by naive greedy, as many classes at once as ``memory_budget`` allows.

    A class whose matrix does not fit by itself is picked from alone, within the same budget.

    Args:
        distances: of each class; an iterator may make them one by one.
        budgets: how many to pick from each.
        device: where the distances are.
        memory_budget: bytes to take, one class's distances included; None: half of what is free.
    """
    room = allowance(memory_budget, device)
    picks: list[Coreset] = []
    waiting: list[_Class] = []

    def flush() -> None:
        picks.extend(_pick_batch(waiting, budgets[len(picks) : len(picks) + len(waiting)]))
        waiting.clear()

    for distance in distances:
        left = room - distance.nbytes
        if batch_bytes([*(len(each.gains) for each in waiting), distance.n], distance.dtype) > left:
            flush()
        if batch_bytes([distance.n], distance.dtype) > left:
            picks.append(naive_greedy(FacilityLocation(PairwiseMatrix(distance, room)), budgets[len(picks)]))
        else:
            waiting.append(_Class.of(distance, room - sum(each.distances.nbytes for each in waiting)))
        del distance  # before the next one is made
    flush()
    return picks


def batch_bytes(sizes: Sequence[int], dtype: torch.dtype) -> int:
    """Return the bytes that classes of these ``sizes`` take together, from the last one's matrix to their picks.

    Picking takes their matrices, the same stacked, the minima with the distances to the nearest picks, and those once
    more in float64 where they are narrower, for summing widens them first.
    """
    waiting = sum(n * n for n in sizes[:-1]) * dtype.itemsize
    widened = 8 if dtype.itemsize < 8 else 0
    largest = max(sizes)
    picking = len(sizes) * largest * (largest * (3 * dtype.itemsize + widened) + 8 * _VECTORS)
    return max(waiting + held_bytes(sizes[-1], dtype), picking)


@dataclass(frozen=True, eq=False)
class _Class:
    """A class that waits for its batch: distances [n, n], first gains float64 [n], and the tolerance of gains."""

    distances: Tensor
    gains: Tensor
    tolerance: float

    @classmethod
    def of(cls, distance: Distance, room: int) -> _Class:
        """Compute the matrix within ``room`` bytes, which it fits into, and keep nothing of what that takes beside."""
        matrix = PairwiseMatrix(distance, room)
        if matrix.held is None:
            raise ValueError(f"a matrix of {distance.n} samples does not fit into {room} bytes")
        function = FacilityLocation(matrix)
        return cls(matrix.held, function.all_gains(), function.tolerance)


def _pick_batch(classes: Sequence[_Class], budgets: Sequence[int]) -> list[Coreset]:
    """Pick greedily from held matrices, the lowest index on ties, with no transfer to the host before the last pick."""
    if not classes:
        return []
    padded = _pad([each.distances for each in classes], 0.0)  # [B, n, n]
    gains = _pad([each.gains for each in classes], -torch.inf)  # [B, n]
    tolerance = gains.new_tensor([each.tolerance for each in classes])  # [B]
    taken = gains.isneginf()
    everyone = torch.arange(len(padded), device=padded.device)
    nearest = padded.new_full(gains.shape, torch.inf)
    history: list[tuple[Tensor, Tensor]] = []
    for step in range(max(budgets)):
        if step:
            total = nearest.sum(dim=1, dtype=torch.float64)  # [B]
            gains = total[:, None] - torch.minimum(nearest[:, None, :], padded).sum(dim=2, dtype=torch.float64)
            gains.masked_fill_(taken, -torch.inf)
        tied = gains >= (gains.amax(dim=1) - tolerance)[:, None]  # [B, n]
        pick = tied.to(torch.int8).argmax(dim=1)  # [B]
        history.append((pick, gains[everyone, pick]))
        taken[everyone, pick] = True
        nearest = torch.minimum(nearest, padded[everyone, pick])
    picks = torch.stack([pick for pick, _ in history], dim=1).cpu().numpy()  # [B, k]
    added = torch.stack([gain for _, gain in history], dim=1).cpu().numpy()  # [B, k]
    return [Coreset(picks[b, :k], gains=added[b, :k]) for b, k in enumerate(budgets)]


def _pad(tensors: Sequence[Tensor], value: float) -> Tensor:
    """Return tensors of different lengths filled up with ``value`` and stacked."""
    lengths = [max(lengths) for lengths in zip(*(tensor.shape for tensor in tensors), strict=True)]
    padded = tensors[0].new_full((len(tensors), *lengths), value)
    for target, tensor in zip(padded, tensors, strict=True):
        target[tuple(slice(0, length) for length in tensor.shape)] = tensor
    return padded
