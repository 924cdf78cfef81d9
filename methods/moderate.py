"""Moderate coresets: samples that are as far from the mean of their class as the median one."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Need, PickSettings, SelectionInputs, highest
from methods.embedding_method import EmbeddingMethod, class_means
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class Moderate(EmbeddingMethod):
    """Pick the lowest |d_i − median(d)| first, d_i = ‖z_i − the mean embedding of its class‖₂.

    The median is over the samples to select from, those of a class where the selection is balanced; of an even number
    it is the lower one of the two in the middle. The authors' code measures from the median of each coordinate instead
    of the mean, and keeps the middle ranks of all classes together.
    """

    source = (
        "Xia et al., Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep "
        "Learning, ICLR 2023"
    )
    need = (Need.EMBEDDINGS,)

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples nearest to the median distance."""
        z = self.embeddings_of(inputs).double()  # [n, d]
        means, own = class_means(z, inputs.labels)  # [classes, d], [n]
        distances = (z - means[own]).norm(dim=1)  # [n]
        return highest(-(distances - distances.median()).abs(), budget)
