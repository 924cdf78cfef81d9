"""What a view is measured on: images and their shares, the module that moves, and the directions it moves in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from experiments.landscape.config import LandscapeConfig
from experiments.landscape.directions import random_direction
from experiments.landscape.folder import LandscapeFolder, Row
from experiments.landscape.surface import Shares, coordinates, mean_losses, sample
from experiments.landscape.view import View
from experiments.landscape.whole_network import WholeNetworkDifference
from utils.data.batches import Batch, Batches
from utils.data.coreset import Coreset
from utils.landscape.certificate import random_coresets, usual_radius
from utils.landscape.eigenvalues import sharpest_directions
from utils.landscape.last_layer import LastLayerDifferences
from utils.training.evaluation import TEST_BATCH, embed_and_classify
from utils.training.machine import Machine
from utils.training.progress import Progress

_DIFFERENTIATED = 256  # images at a time


class Measurement:
    """The images of a view, what each counts in its losses, and the module that moves.

    Attributes:
        peers: of each coreset, random ones with as many images of each class.
        shares: of the images of the grid, in the full set (or the part of it that stands for it) and in each coreset.
    """

    def __init__(self, view: View, config: LandscapeConfig, machine: Machine) -> None:
        self.view, self.config, self.machine = view, config, machine
        self.peers = {name: self._peers(coreset) for name, coreset in view.coresets.items()}
        self._sample = sample(view.data.pool, config.images, view.seed)
        self.shares = Shares.of(self._sample, list(view.coresets.values()))
        self._images = machine.hold(view.data.train)

    def _peers(self, coreset: Coreset) -> list[Coreset]:
        labels, pool = self.view.data.train.labels, self.view.data.pool
        wanted = labels[torch.tensor(coreset.indices)].bincount(minlength=self.view.data.spec.num_classes).tolist()
        count = 0 if self.config.worst_case == "none" else self.config.random
        drawn = random_coresets(labels[pool], wanted, count, self.view.seed)
        return [Coreset(pool.numpy()[each.numpy()]) for each in drawn]

    @cached_property
    def pool_features(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Indices [m] of all images, and their embeddings [m, d], logits [m, C] and labels [m]."""
        indices = Shares.of(self.view.data.pool, list(self.view.coresets.values())).indices
        return indices, *self._features(indices)

    def last_layer(self, coreset: Coreset) -> LastLayerDifferences:
        """Return the full set's loss less the coreset's as a function of the last layer; over all images."""
        indices, z, f, y = self.pool_features
        shares = Shares.of(self.view.data.pool, [coreset])
        difference = torch.zeros(1, len(indices), dtype=torch.float64)
        difference[0, torch.searchsorted(indices, shares.indices)] = shares.difference(1)
        return LastLayerDifferences(z, f, y, difference.to(y.device))

    def whole_network(self, coreset: Coreset) -> WholeNetworkDifference:
        """Return the same as a function of all parameters; the full set as the grid takes it."""
        shares = Shares.of(self._sample, [coreset])
        batches = self._pixels(shares.indices, _DIFFERENTIATED)
        return WholeNetworkDifference(self.view.network, batches, shares.difference(1))

    def usual_radius(self) -> float:
        """Return the radius of certificates (see utils.landscape.certificate)."""
        return usual_radius(self.pool_features[1])

    def losses(self, folder: LandscapeFolder) -> list[Row]:
        """Return the mean losses at every point of the grid; those in the folder are not measured again."""
        points = coordinates(self.config.radius, self.config.points)
        execution = self.machine.execution

        def measure(missing: Sequence[tuple[float, float]]) -> Iterator[list[float]]:
            if missing:
                module, batches = self._moving()
                directions, size = self._directions(module, batches), len(self.view.data.pool)
                yield from mean_losses(module, batches, self.shares.shares, size, directions, missing)

        label = f"landscape of {len(self.shares.indices)} images"
        with Progress(label, len(points), execution.print_freq) as progress:
            return folder.losses(points, measure, execution.checkpoint_interval, progress.step)

    def _directions(self, module: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return the two directions that the grid spans, [P] each."""
        parameters = list(module.parameters())
        if self.config.directions == "random":
            return random_direction(parameters, self.view.seed, 0), random_direction(parameters, self.view.seed, 1)
        if module is self.view.network:
            batches = self._pixels(self.shares.indices, _DIFFERENTIATED)
        difference = WholeNetworkDifference(module, batches, self.shares.difference(1))
        first, second = torch.tensor(sharpest_directions(difference.hessian_product, difference.size))
        return first.to(parameters[0]), second.to(parameters[0])

    def _moving(self) -> tuple[nn.Module, Iterable[Batch]]:
        """Return the network and batches of images, or its last layer and one batch of all embeddings."""
        if self.config.layers == "all":
            return self.view.network, self._pixels(self.shares.indices, TEST_BATCH)
        z, _, y = self._features(self.shares.indices)
        return self.view.network.classifier, [Batch(z, y, y, y, None)]

    def _features(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        network = self.view.network
        return embed_and_classify(network.embed, network.classifier, self._pixels(indices, TEST_BATCH))

    def _pixels(self, indices: Tensor, size: int) -> Batches:
        workers, device = self.machine.execution.workers, self.machine.device
        return Batches(self._images, self.view.data.spec, indices, size, device=device, workers=workers)
