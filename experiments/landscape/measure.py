"""The losses of a view over the grid that its settings ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from experiments.landscape.config import LandscapeConfig
from experiments.landscape.directions import random_direction
from experiments.landscape.folder import LandscapeFolder, Row
from experiments.landscape.surface import Shares, coordinates, mean_losses, sample
from experiments.landscape.views import View
from utils.data.batches import Batch, Batches
from utils.training.evaluation import TEST_BATCH, embed_and_classify
from utils.training.machine import Machine
from utils.training.progress import Progress


class Measurement:
    """What moves, what it is measured on, and in which directions it moves.

    Attributes:
        shares: of the images in the full set and in each coreset.
        module: the network, or its last layer.
        batches: of the images in the order of ``shares``; of the last layer's, embeddings.
    """

    def __init__(self, view: View, config: LandscapeConfig, machine: Machine) -> None:
        self.view, self.config, self.machine = view, config, machine
        full = sample(view.data.pool, config.images, view.seed)
        self.shares = Shares.of(full, list(view.coresets.values()))
        images, execution = machine.hold(view.data.train), machine.execution
        pixels = Batches(
            images,
            view.data.spec,
            self.shares.indices,
            TEST_BATCH,
            device=machine.device,
            workers=execution.workers,
        )
        self.module: nn.Module = view.network
        self.batches: Iterable[Batch] = pixels
        if config.layers == "last":
            self.module, self.batches = view.network.classifier, embedded(view, pixels)

    def directions(self) -> tuple[Tensor, Tensor]:
        """Return the two directions that the grid spans."""
        parameters = list(self.module.parameters())
        first, second = (random_direction(parameters, self.view.seed, number) for number in range(2))
        return first, second

    def losses(self, folder: LandscapeFolder) -> list[Row]:
        """Return the mean losses at every point of the grid; those in the folder are not measured again."""
        points = coordinates(self.config.radius, self.config.points)
        execution = self.machine.execution

        def measure(missing: Sequence[tuple[float, float]]) -> Iterator[list[float]]:
            if missing:
                directions = self.directions()
                yield from mean_losses(self.module, self.batches, self.shares.shares, directions, missing)

        label = f"landscape of {len(self.shares.indices)} images"
        with Progress(label, len(points), execution.print_freq) as progress:
            return folder.losses(points, measure, execution.checkpoint_interval, progress.step)


def embedded(view: View, pixels: Batches) -> list[Batch]:
    """Return one batch whose ``x`` are the embeddings [m, d] of all images: what the last layer is given."""
    z, _, y = embed_and_classify(view.network.embed, view.network.classifier, pixels)
    return [Batch(z, y, y, y, None)]
