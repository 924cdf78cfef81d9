"""Where a condensation is, as the name of the random numbers that are drawn there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from utils.seeding import generator, seed_torch


@dataclass(frozen=True)
class Moment:
    """One pixel step: nothing that is drawn in it depends on what ran before, so that it can be resumed."""

    seed: int
    iteration: int
    step: int

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh generator on the CPU."""
        return generator(self.seed, f"condensation {purpose}", self.iteration, self.step)

    def seed_torch(self, purpose: str) -> None:
        """Seed torch's global generators."""
        seed_torch(self.seed, f"condensation {purpose}", self.iteration, self.step)
