"""Craig: a weighted subset whose gradients approximate those of all samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods.features import Features
from methods.greedy.distances import Distance, GradientDistance
from methods.submodular import SetFunctionMethod


@dataclass(frozen=True)
class Craig(SetFunctionMethod):
    """Minimise Σ_i min_{j∈S} ‖g_i − g_j‖₂ greedily: facility location over max d − d.

    The weight of a pick is the size of its cluster, the samples that it is the nearest pick to, itself included.
    """

    source = "Mirzasoleiman et al., Coresets for Data-efficient Training of Machine Learning Models, ICML 2020"

    weighted: ClassVar[bool] = True  # type: ignore[misc]  # always, and so no option

    def distance(self, features: Features) -> Distance:
        """Return the distances between gradients."""
        return GradientDistance(features)
