"""Where and how a piece of work is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch

from utils.data.images import Images, fits_on_device
from utils.device import pick_device
from utils.distributed import SINGLE_PROCESS, World
from utils.execution import ExecutionConfig

_HELD: WeakKeyDictionary[Images, WeakValueDictionary[torch.device, Images]] = WeakKeyDictionary()  # while in use


@dataclass(frozen=True)
class Machine:
    """The device that computes, what the command line says of the execution, and the ranks that work together.

    Nothing in it changes a result.
    """

    device: torch.device
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    world: World = SINGLE_PROCESS

    @classmethod
    def of(cls, execution: ExecutionConfig, world: World = SINGLE_PROCESS) -> Machine:
        """Return the machine that the flags ask for. Raises UserError where it has no such GPU."""
        return cls(pick_device(execution.gpu, world.local_rank), execution, world)

    def hold(self, images: Images) -> Images:
        """Return the images on the device where they fit, else as they are; those held there already are not copied."""
        there = _HELD.setdefault(images, WeakValueDictionary())
        held = there.get(self.device)
        if held is not None and self.execution.data_on_device != "off":
            return held
        if not fits_on_device(images, self.device, self.execution.data_on_device):
            return images
        there[self.device] = held = images.to(self.device)
        return held
