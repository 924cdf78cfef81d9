"""Prototypicality: how far samples are from the nearest prototype."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Need, PickSettings, SelectionInputs, highest
from methods.embedding_method import EmbeddingMethod, class_means, directions, group_means
from utils.data.coreset import Coreset
from utils.errors import choose
from utils.flags import OneOf, flag

_ITERATIONS = 100


@dataclass(frozen=True)
class Prototypicality(EmbeddingMethod):
    """Pick the samples with the largest, or the smallest, cosine distance to the nearest prototype first.

    Prototypes are the centres of k-means over the directions z / ‖z‖ of the samples to select from, one for each class
    among them, started from the class means: where the selection is balanced, the mean of the class. The paper's
    embeddings are of a self-supervised network, and its prototypes of all classes together (--balance no).

    Attributes:
        keep: hardest (far from every prototype) or easiest. The paper keeps the hardest where data are plenty, and the
            easiest where they are scarce.
    """

    source = "Sorscher et al., Beyond Neural Scaling Laws: Beating Power Law Scaling via Data Pruning, NeurIPS 2022"
    need = (Need.EMBEDDINGS,)

    keep: str = flag(
        "hardest", "--keep", OneOf("keep", ("hardest", "easiest")), "Prototypicality: which samples to keep, {names}"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", choose("keep", self.keep, ("hardest", "easiest")))

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples farthest from, or nearest to, their prototype."""
        u = directions(self.embeddings_of(inputs))  # [n, d]
        distances = 1 - (u @ directions(prototypes(u, inputs.labels)).T).amax(dim=1)  # [n]
        return highest(distances if self.keep == "hardest" else -distances, budget)


def prototypes(u: Tensor, labels: Tensor) -> Tensor:
    """Return the centres of k-means started from the class means, float64 [classes, d]; an empty one stays.

    Args:
        u: float64 [n, d].
        labels: int64 [n].
    """
    centres, own = class_means(u, labels)
    for _ in range(_ITERATIONS):
        nearest = (2 * u @ centres.T - centres.square().sum(dim=1)).argmax(dim=1)  # [n]
        if torch.equal(nearest, own):
            break
        own = nearest
        centres = group_means(u, own, centres)
    return centres
