"""k-center: every sample close to a picked one, by picking the farthest sample again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.base import Need, PickSettings, SelectionInputs
from methods.embedding_method import EmbeddingMethod
from methods.greedy.close_pairs import CANCELLATION
from methods.tie_breaking import first_highest
from nets.last_layer import refuse_overflow
from utils.data.coreset import Coreset
from utils.seeding import generator
from utils.threads import small_steps


@dataclass(frozen=True)
class KCenterGreedy(EmbeddingMethod):
    """Pick argmax_i min_{s∈S} ‖z_i − z_s‖₂ after a random first centre: within twice the least covering radius."""

    source = "Sener & Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR 2018"
    need = (Need.EMBEDDINGS,)

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the sample farthest from all picks, again and again."""
        z = self.embeddings_of(inputs).double()  # [n, d]
        with small_steps(z.numel()):
            return farthest_first(euclidean(z), first_centre(len(z), settings.seed), budget)


def euclidean(z: Tensor) -> Callable[[int], Tensor]:
    """Return a function that gives every sample's distance to the one at an index, float64 [n], for z float64 [n, d].

    ‖z_i‖² + ‖z_j‖² − 2⟨z_i, z_j⟩ of centred z takes one matrix-vector product; where it cancels, differences are taken.

    Raises:
        UserError: the embeddings' squares overflow.
    """
    z = z - z.mean(dim=0)
    squares = z.square().sum(dim=1)  # [n]
    refuse_overflow(4 * squares)

    def distances(centre: int) -> Tensor:
        sizes = squares + squares[centre]
        squared = torch.addmv(sizes, z, z[centre], alpha=-2)
        close = (squared < CANCELLATION * sizes).nonzero()[:, 0]
        squared[close] = (z[close] - z[centre]).square().sum(dim=1)
        return squared.sqrt_()

    return distances


def farthest_first(distances: Callable[[int], Tensor], first: int, budget: int) -> Coreset:
    """Pick ``first``, then again and again the sample farthest from its nearest pick, the lowest index on ties.

    Args:
        distances: returns every sample's distance to a centre given by its index, float64 [n].
        first: index of the first pick.
        budget: how many to pick.
    """
    picked = [first]
    nearest = distances(first).clone()  # [n]
    for _ in range(budget - 1):
        nearest[picked[-1]] = -1  # below every distance, for good
        picked.append(first_highest(nearest))
        nearest = torch.minimum(nearest, distances(picked[-1]))
    return Coreset(np.array(picked, dtype=np.int64))


def first_centre(n: int, seed: int) -> int:
    """Return one of ``n`` samples at random."""
    return int(torch.randint(n, (1,), generator=generator(seed, "first centre")))
