"""Random batches of real images of one class, for a condensation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from utils.data.batches import Batches
from utils.data.load import Data
from utils.errors import UserError
from utils.training.machine import Machine


class RealImages:
    """The images of ``data.pool`` by class, normalised when a batch is drawn."""

    def __init__(self, data: Data, machine: Machine) -> None:
        self._images, self._spec, self._machine = machine.hold(data.train), data.spec, machine
        labels = data.train.labels[data.pool]
        self._of_class = [data.pool[labels == label] for label in range(data.spec.num_classes)]

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self._of_class)

    def batches(self, labels: Iterable[int], count: int, generator: torch.Generator) -> list[Tensor]:
        """Draw ``count`` different images of each class, or all where there are fewer; float32 [b, C, H, W] each."""
        members = [self._of_class[label] for label in labels]
        chosen = [own[torch.randperm(len(own), generator=generator)[:count]] for own in members]
        sizes = [len(each) for each in chosen]
        device, workers = self._machine.device, self._machine.execution.workers
        together = Batches(self._images, self._spec, torch.cat(chosen), sum(sizes), device=device, workers=workers)
        return list(next(iter(together)).x.split(sizes))

    def check_holds(self, count: int) -> None:
        """Raise UserError unless every class has ``count`` images."""
        smallest = min(range(self.num_classes), key=lambda label: len(self._of_class[label]))
        if (held := len(self._of_class[smallest])) < count:
            raise UserError(
                f"--init real takes {count} images of each class, but {self._spec.class_names[smallest]} has {held}; "
                "use --init noise or a smaller --ipc"
            )


def passes(batches: Sequence[Tensor], most: int) -> list[slice]:
    """Group ``batches`` that go through a network together: equally long ones, of ``most`` images in all.

    On a CPU each goes alone, which is no slower.
    """
    alike = batches[0].device.type != "cpu" and len({len(batch) for batch in batches}) == 1
    size = max(1, most // len(batches[0])) if alike else 1
    return [slice(start, start + size) for start in range(0, len(batches), size)]
