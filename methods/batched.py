"""Facility location over many classes at once: one pass over a padded batch of matrices gives each a pick.

On an accelerator a thousand small classes would otherwise cost a thousand launches for every pick.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from methods.distances import Distance
from methods.greedy import Picks, naive_greedy
from methods.matrix import PairwiseMatrix, allowance
from methods.set_functions import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, FacilityLocation

_COPIES = 3  # of a batch of matrices: itself, the differences of a pass, and the matrices it was stacked from


def facility_location_of_classes(
    distances: Iterable[Distance], budgets: Sequence[int], memory_budget: int | None
) -> list[Picks]:
    """The picks of naive greedy for every class, batched as far as ``memory_budget`` bytes allow.

    A class whose matrix alone exceeds the budget is picked by itself, with its rows computed on demand.
    """
    picks: list[Picks] = []
    waiting: list[Tensor] = []

    def flush() -> None:
        picks.extend(_pick_batch(waiting, budgets[len(picks) : len(picks) + len(waiting)]))
        waiting.clear()

    for distance in distances:
        room = allowance(memory_budget, distance.device)
        size = max([distance.n, *(len(matrix) for matrix in waiting)])
        if (len(waiting) + 1) * size**2 * distance.dtype.itemsize * _COPIES > room:
            flush()
        if distance.n**2 * distance.dtype.itemsize * _COPIES > room:
            matrix = PairwiseMatrix(distance, memory_budget)
            picks.append(naive_greedy(FacilityLocation(matrix, matrix.bound()), budgets[len(picks)]))
        else:
            waiting.append(distance.full())
    flush()
    return picks


def _pick_batch(matrices: Sequence[Tensor], budgets: Sequence[int]) -> list[Picks]:
    """Greedy picks from matrices [n_b, n_b], the lowest index on ties; no transfer until the last pick is made."""
    if not matrices:
        return []
    padded, real = _pad(matrices)  # [B, n, n], [B, n]
    offsets = padded.amax(dim=(1, 2))  # [B]
    nearest = torch.where(real, offsets[:, None], 0.0)  # [B, n]
    available = real.clone()
    everyone = torch.arange(len(padded), device=padded.device)
    history: list[tuple[Tensor, Tensor]] = []
    for step in range(max(budgets)):
        if step == 0:
            gains = real.sum(1, keepdim=True) * offsets[:, None].double() - padded.sum(2, dtype=torch.float64)
        else:
            gains = (nearest[:, None, :] - padded).clamp_(min=0).sum(2, dtype=torch.float64)  # [B, n]
        gains.masked_fill_(~available, -torch.inf)
        best = gains.amax(dim=1)  # [B]
        scale = nearest.sum(dim=1, dtype=torch.float64)
        tied = gains >= (best - RELATIVE_TOLERANCE * best.abs() - ABSOLUTE_TOLERANCE * scale)[:, None]
        pick = (tied & available).to(torch.int8).argmax(dim=1)  # [B]
        history.append((pick, gains[everyone, pick]))
        available[everyone, pick] = False
        nearest = torch.minimum(nearest, padded[everyone, pick])
    picks = torch.stack([pick for pick, _ in history], dim=1).cpu().numpy()  # [B, k]
    added = torch.stack([gain for _, gain in history], dim=1).cpu().numpy()  # [B, k]
    return [Picks(picks[b, :k], added[b, :k]) for b, k in enumerate(budgets)]


def _pad(matrices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Matrices [B, n, n] filled up with zeros, and which of their samples are real, bool [B, n]."""
    size = max(len(matrix) for matrix in matrices)
    padded = matrices[0].new_zeros(len(matrices), size, size)
    real = torch.zeros(len(matrices), size, dtype=torch.bool, device=padded.device)
    for b, matrix in enumerate(matrices):
        padded[b, : len(matrix), : len(matrix)] = matrix
        real[b, : len(matrix)] = True
    return padded, real
