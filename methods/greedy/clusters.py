"""Clusters of samples around picks: those that are nearer to a pick than to all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from methods.greedy.pairwise_matrix import PairwiseMatrix
from utils.data.coreset import Coreset
from utils.device import moved


def cluster_sizes(matrix: PairwiseMatrix, picks: Coreset, sizes: Sequence[int]) -> list[np.ndarray]:
    """Return how many samples each of the first k picks is the nearest to, float32 [k], for every k of ``sizes``.

    At equal distances the earlier pick counts.
    """
    nearest = torch.full((matrix.n,), torch.inf, dtype=matrix.dtype, device=matrix.device)
    owner = torch.zeros(matrix.n, dtype=torch.int64, device=matrix.device)
    indices = moved(torch.tensor(picks.indices), matrix.device)
    clusters: dict[int, np.ndarray] = {}
    start = 0
    for size in sorted(set(sizes)):
        while start < size:
            part = indices[start : min(size, start + matrix.rows_at_once)]
            least, first = matrix.rows(part).min(dim=0)  # [n] each
            closer = least < nearest
            owner = torch.where(closer, start + first, owner)
            nearest = torch.minimum(nearest, least)
            start += len(part)
        clusters[size] = torch.bincount(owner, minlength=size).float().cpu().numpy()
    return [clusters[size] for size in sizes]


def beginnings(picks: Coreset, sizes: Sequence[int], weights: Sequence[np.ndarray] | None = None) -> list[Coreset]:
    """Return the first k picks for every k of ``sizes``, with weights [k] of each where there are some."""
    first = [picks.at(np.arange(size)) for size in sizes]
    if weights is None:
        return first
    return [replace(each, weights=own) for each, own in zip(first, weights, strict=True)]
