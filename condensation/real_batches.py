"""Random batches of real images of one class, for a condensation."""

from __future__ import annotations

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

    def batch(self, label: int, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` different images of a class, or all where there are fewer; float32 [b, C, H, W]."""
        members = self._of_class[label]
        chosen = members[torch.randperm(len(members), generator=generator)[:count]]
        device, workers = self._machine.device, self._machine.execution.workers
        batches = Batches(self._images, self._spec, chosen, max(1, len(chosen)), device=device, workers=workers)
        return next(iter(batches)).x

    def check_holds(self, count: int) -> None:
        """Raise UserError unless every class has ``count`` images."""
        smallest = min(range(self.num_classes), key=lambda label: len(self._of_class[label]))
        if (held := len(self._of_class[smallest])) < count:
            raise UserError(
                f"--init real takes {count} images of each class, but {self._spec.class_names[smallest]} has {held}; "
                "use --init noise or a smaller --ipc"
            )
