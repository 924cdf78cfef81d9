"""Mean losses of the full set and of coresets over a plane through the parameters of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from utils.data.batches import Batch
from utils.data.coreset import Coreset
from utils.seeding import generator


@dataclass(frozen=True, eq=False)
class Shares:
    """What each of m images counts in the mean losses of the full set and of K coresets.

    The coresets' images are images of the full set: one pass over the m images gives all 1 + K mean losses.

    Attributes:
        indices: int64 [m], ascending, into the training images.
        shares: float64 [1 + K, m], the full set's first; each row sums to one.
    """

    indices: Tensor
    shares: Tensor

    @classmethod
    def of(cls, full: Tensor, coresets: Sequence[Coreset]) -> Shares:
        """Return the shares of images in the full set ``full`` (int64 [n], all alike) and in the coresets."""
        parts = [full, *(torch.tensor(coreset.indices) for coreset in coresets)]
        weights = [None, *(coreset.weights for coreset in coresets)]
        indices = torch.cat(parts).unique()  # [m]
        shares = torch.zeros(len(parts), len(indices), dtype=torch.float64)
        for row, part, weight in zip(shares, parts, weights, strict=True):
            each = torch.ones(len(part), dtype=torch.float64) if weight is None else torch.tensor(weight).double()
            row[torch.searchsorted(indices, part)] = each / each.sum()
        return cls(indices, shares)

    def difference(self, number: int) -> Tensor:
        """Return what each image counts in the full set's loss less what it counts in a coreset's, float64 [m].

        Args:
            number: of the coreset, from 1.
        """
        return self.shares[0] - self.shares[number]


def sample(pool: Tensor, count: int | None, seed: int) -> Tensor:
    """Return ``count`` of the images ``pool`` (int64 [n]) drawn at random, or all where it has no more."""
    if count is None or count >= len(pool):
        return pool
    chosen = torch.randperm(len(pool), generator=generator(seed, "images of the landscape"))[:count]
    return pool[chosen.sort().values]


def standard_error(losses: Tensor, size: int) -> float:
    """Return the standard error of the mean of losses [m] of images drawn at random from ``size``; 0 where m is all.

    That is the sample's standard deviation over √m, times √(1 − m / size) because no image is drawn twice.
    """
    m = len(losses)
    return 0.0 if m >= size else math.sqrt((1 - m / size) / m) * float(losses.std())


def image_losses(module: nn.Module, batches: Iterable[Batch]) -> Tensor:
    """Return the cross-entropy of each image, float64 [m], on the device of the batches."""
    with torch.no_grad():
        return torch.cat([F.cross_entropy(module(b.x).double(), b.y, reduction="none") for b in batches])


def coordinates(radius: float, points: int) -> list[tuple[float, float]]:
    """Return the points of a square grid from −radius to radius, row by row."""
    middle = points // 2
    along = [radius * (number - middle) / middle for number in range(points)]
    return [(x, y) for y in along for x in along]


def mean_losses(
    module: nn.Module,
    batches: Iterable[Batch],
    shares: Tensor,
    size: int,
    directions: tuple[Tensor, Tensor],
    points: Iterable[tuple[float, float]],
) -> Iterator[list[float]]:
    """Yield the 1 + K mean losses at θ + x·d₁ + y·d₂, and the first one's standard error, for each point (x, y).

    Each point is one pass over the batches.

    Running statistics of normalisations stay those of θ, as in Li et al. (2018): they are no parameters.

    Args:
        module: in evaluation mode; its parameters are at θ again between two points.
        batches: of the m images, in order; can be iterated again and again.
        shares: float64 [1 + K, m]; images that count in the first are all of the full set, or drawn from it.
        size: of the full set.
        directions: d₁ and d₂, [P] each.
    """
    first, second = directions
    for x, y in points:
        with moved(module, x * first + y * second):
            losses = image_losses(module, batches).to(shares.device)
        yield [*(shares @ losses).tolist(), standard_error(losses[shares[0] > 0], size)]


@contextmanager
def moved(module: nn.Module, offset: Tensor) -> Iterator[None]:
    """Add ``offset`` [P] to all parameters of ``module`` within the block."""
    parameters = list(module.parameters())
    start = parameters_to_vector(parameters).detach().clone()
    vector_to_parameters(start + offset, parameters)
    try:
        yield
    finally:
        vector_to_parameters(start, parameters)
