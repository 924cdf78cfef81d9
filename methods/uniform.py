"""Uniform sampling without replacement, the baseline of every table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from methods.base import Method, PickSettings, SelectionInputs
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class Uniform(Method):
    """Pick in a seeded random order."""

    source = "baseline"
    need = ()

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick at random without replacement."""
        return Coreset(np.random.default_rng(settings.seed).permutation(len(inputs))[:budget])
