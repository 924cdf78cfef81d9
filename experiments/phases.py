"""What the phases of a selection took, and the images that they saw."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.device import finish_queued_work


class Phases:
    """Adds up seconds and images by the name of a phase.

    Args:
        device: whose queued work belongs to the phase that asked for it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.images: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def timed(self, phase: str, images: int = 0) -> Iterator[None]:
        """Count what happens in the block as the phase's, and the images that it sees."""
        started = time.monotonic()
        yield
        finish_queued_work(self.device)
        self.add(phase, time.monotonic() - started, images)

    def add(self, phase: str, seconds: float, images: int = 0) -> None:
        """Add seconds and images that were counted elsewhere."""
        self.seconds[phase] += seconds
        if images:
            self.images[phase] += images

    @property
    def images_per_second(self) -> dict[str, float]:
        """Of each phase that saw images, how many it saw a second."""
        return {phase: images / max(self.seconds[phase], 1e-9) for phase, images in self.images.items()}
