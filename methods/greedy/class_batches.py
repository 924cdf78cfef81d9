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
from methods.greedy.pairwise_matrix import PairwiseMatrix, allowance
from methods.greedy.set_functions import FacilityLocation
from utils.data.coreset import Coreset

_COPIES = 3  # of a batch of matrices: itself, the minima of a pass, and the matrices it was stacked from


def batched_facility_location(
    distances: Iterable[Distance], budgets: Sequence[int], device: torch.device, memory_budget: int | None
) -> list[Coreset]:
    """Pick from every class by naive greedy, as many classes at once as ``memory_budget`` allows.

    A class whose matrix alone exceeds the budget is picked from by itself, with its rows computed on demand.

    Args:
        distances: of each class; an iterator may make them one by one.
        budgets: how many to pick from each.
        device: where the distances are.
        memory_budget: bytes to take beyond the distances; None: half of what is free.
    """
    room = allowance(memory_budget, device)
    picks: list[Coreset] = []
    waiting: list[_Class] = []

    def flush() -> None:
        picks.extend(_pick_batch(waiting, budgets[len(picks) : len(picks) + len(waiting)]))
        waiting.clear()

    for distance in distances:
        largest = max([distance.n, *(len(each.gains) for each in waiting)])
        batch_bytes = (len(waiting) + 1) * largest**2 * distance.dtype.itemsize * _COPIES
        if batch_bytes > room:
            flush()
        matrix = PairwiseMatrix(distance, room)
        function = FacilityLocation(matrix)
        if matrix.held is None or matrix.held.nbytes * _COPIES > room:
            flush()
            picks.append(naive_greedy(function, budgets[len(picks)]))
        else:
            waiting.append(_Class(matrix.held, function.all_gains(), function.tolerance))
    flush()
    return picks


@dataclass(frozen=True, eq=False)
class _Class:
    """A class that waits for its batch: distances [n, n], first gains float64 [n], and the tolerance of gains."""

    distances: Tensor
    gains: Tensor
    tolerance: float


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
