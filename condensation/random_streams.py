"""Random numbers of a condensation: a stream for each pixel step and purpose, so that a resumed run draws the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from utils.seeding import generator, seed_torch


@dataclass(frozen=True)
class RandomStreams:
    """The random streams of one pixel step, derived from seed, iteration and step alone."""

    seed: int
    iteration: int
    step: int

    def generator(self, purpose: str) -> torch.Generator:
        """Return a fresh generator on the CPU for one purpose."""
        return generator(self.seed, f"condensation {purpose}", self.iteration, self.step)

    def seed_torch(self, purpose: str) -> None:
        """Seed torch's global generators for one purpose."""
        seed_torch(self.seed, f"condensation {purpose}", self.iteration, self.step)
