"""The whole data set, the upper baseline of every table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from methods.base import Method, PickSettings, SelectionInputs
from utils.data.coreset import Coreset


@dataclass(frozen=True)
class Full(Method):
    """Pick every sample; the fraction is always 1."""

    source = "baseline"
    need = ()
    whole = True

    @property
    def nested(self) -> bool:
        """Return False: every size is all samples."""
        return False

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Return every sample, in order."""
        return Coreset(np.arange(len(inputs)))
