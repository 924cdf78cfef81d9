"""LCMat's distance under graph cut: picks similar to all samples and dissimilar to each other."""

from __future__ import annotations

from dataclasses import dataclass

from methods.features import Features
from methods.greedy.distances import CurvatureDistance, Distance
from methods.greedy.set_functions import GraphCut, SetFunction
from methods.submodular import CurvatureMethod


@dataclass(frozen=True)
class LCMatGC(CurvatureMethod):
    """Maximise Σ_i Σ_{j∈S} S_ij − Σ_{i,j∈S} S_ij greedily, S_ij = max D − D_ij with LCMat's D.

    Facility location covers all of a class, its outskirts too; graph cut stays where the class is dense.
    """

    source = "LCMat's distance (Shin et al. 2023), graph cut as in Iyer et al. 2021"
    scoring = "temperature"

    @property
    def set_function(self) -> type[SetFunction]:
        """Return graph cut."""
        return GraphCut

    def distance(self, features: Features) -> Distance:
        """Return LCMat's distance."""
        return CurvatureDistance(features, self.eps, self.num_dims)
