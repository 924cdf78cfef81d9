"""Contrastive active learning: samples whose predictions differ from those of their neighbours in embedding space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import PickSettings, SelectionInputs, highest
from methods.contextualdiversity import clamped_probabilities, symmetric_divergence
from methods.embedding_method import EmbeddingMethod
from methods.neighbours import bands_within, neighbours, outer_distance
from utils.data.coreset import Coreset

_NEIGHBOURS = 10


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
        p = clamped_probabilities(features)  # [n, C]
        log_p = p.log()

        def contrast(band: Tensor) -> Tensor:
            near = neighbours(distance, band, _NEIGHBOURS)  # [r, 10]
            away = symmetric_divergence(p[band][:, None], p[near], log_p[band][:, None], log_p[near])  # [r, 10]
            return away.sum(dim=1) / max(near.shape[1], 1)  # a sample alone has no neighbours, and scores 0

        distance = outer_distance(self.embeddings_of(inputs).double())
        bands = bands_within(distance, settings.memory_budget, p, log_p)
        return highest(torch.cat([contrast(band) for band in bands]), budget)
