"""What a training is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from utils.data.images import Images, fits_on_device
from utils.data.load import Data
from utils.distributed import SINGLE_PROCESS, World
from utils.training.history import Epoch


class Observer(Protocol):
    """Watches every training batch, e.g. to count forgetting events; its state goes into checkpoints."""

    def observe(self, positions: Tensor, correct: Tensor) -> None:
        """Positions int64 [B] in the training indices, and whether each was classified rightly, bool [B]."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True, eq=False)
class Task:
    """What to train on, and what to test on.

    Attributes:
        indices: int64 [n] into ``data.train``.
        weights: float32 [n], or None where every image counts the same.
    """

    data: Data
    indices: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Machine:
    """Where and how a training runs; changes no result.

    Attributes:
        checkpoint: file that the state is kept in, or None.
        checkpoint_interval: seconds between checkpoints.
        on_history: called with the epochs so far whenever a checkpoint is written.
        profile: file for a trace of a few steps, or None.
        world: the ranks that train together; the first one keeps the checkpoint.
    """

    device: torch.device
    workers: int = 0
    data_on_device: str = "auto"
    print_freq: int = 100
    checkpoint: Path | None = None
    checkpoint_interval: float = 10.0
    on_history: Callable[[tuple[Epoch, ...]], None] | None = None
    profile: Path | None = None
    world: World = SINGLE_PROCESS

    def hold(self, images: Images) -> Images:
        """The images on the device where they fit, else as they are."""
        return images.to(self.device) if fits_on_device(images, self.device, self.data_on_device) else images


@dataclass(frozen=True)
class Outcome:
    """What a training came to: one row an epoch, its steps, and its speed without the tests."""

    history: tuple[Epoch, ...]
    steps: int
    seconds: float
    images_per_second: float
