"""Contrastive active learning: samples whose predictions differ from those of their neighbours in embedding space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import PickSettings, SelectionInputs, highest
from methods.contextualdiversity import clamped_probabilities, symmetric_divergence
from methods.embedding_method import EmbeddingMethod
from methods.greedy.distances import OuterDistance
from methods.greedy.pairwise_matrix import allowance
from methods.tie_breaking import RELATIVE_TOLERANCE
from utils.data.coreset import Coreset

_NEIGHBOURS = 10
_ROWS_AT_ONCE = 512
_COPIES = 8  # float64 temporaries of the length of a row of distances


@dataclass(frozen=True)
class Cal(EmbeddingMethod):
    """Pick the highest mean of D(p_i, p_j) first, over the 10 samples j whose embeddings are nearest to i's.

    D(a, b) = ½ Σ a log(a/b) + ½ Σ b log(b/a); neighbours are looked for among the samples to select from, the
    class where the selection is balanced. A sample is not its own neighbour; where there are fewer, all are.
    """

    source = "Margatina et al., Active Learning by Acquiring Contrastive Examples, EMNLP 2021"

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples of highest mean divergence from their neighbours."""
        features = self.features_of(inputs)
        z = self.embeddings_of(inputs).double().to(features.logits.device)
        p = clamped_probabilities(features)  # [n, C]
        log_p = p.log()

        def contrast(band: Tensor) -> Tensor:
            near = neighbours(distance, band)  # [r, 10]
            away = symmetric_divergence(p[band][:, None], p[near], log_p[band][:, None], log_p[near])  # [r, 10]
            return away.sum(dim=1) / max(near.shape[1], 1)  # a sample alone has no neighbours, and scores 0

        rows = int(allowance(settings.memory_budget, z.device) // (_COPIES * 8 * len(z)))
        bands = torch.arange(len(z), device=z.device).split(max(1, min(rows, _ROWS_AT_ONCE)))
        distance = OuterDistance(torch.ones_like(z[:, :1]), z - z.mean(dim=0), z.dtype)
        return highest(torch.cat([contrast(band) for band in bands]), budget)


def neighbours(distance: OuterDistance, rows: Tensor, count: int = _NEIGHBOURS) -> Tensor:
    """Return the ``count`` other samples nearest to each of ``rows``, in ascending order; int64 [r, ≤ count].

    The lowest index wins among equal distances.

    Args:
        distance: between embeddings.
        rows: int64 [r].
        count: fewer where there are no more samples.
    """
    count = min(count, distance.n - 1)
    if not count:
        return rows.new_empty(len(rows), 0)
    away = distance.exact(rows, slice(0, distance.n))  # [r, n]
    away.scatter_(1, rows[:, None], torch.inf)
    reach = away.topk(count, largest=False).values[:, -1:]  # [r, 1]
    inside = away < reach * (1 - RELATIVE_TOLERANCE)
    tied = (away <= reach * (1 + RELATIVE_TOLERANCE)) & ~inside
    missing = count - inside.sum(dim=1, keepdim=True)
    nearest = inside | (tied & (tied.cumsum(dim=1, dtype=torch.int32) <= missing))
    return nearest.nonzero()[:, 1].view(len(rows), count)  # [r, count]
