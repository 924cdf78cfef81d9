"""LCMat-S: a coreset that matches the gradient and the curvature of the full set's loss."""

from __future__ import annotations

from dataclasses import dataclass

from methods.features import Features
from methods.greedy.distances import CurvatureDistance, Distance
from methods.submodular import CurvatureMethod


@dataclass(frozen=True)
class LCMat(CurvatureMethod):
    """Minimise F(S) = Σ_i min_{j∈S} D_ij, D_ij = ‖g_i − g_j‖₂ + eps · Σ_{k∈K} |h_ik − h_jk|, greedily.

    Facility location over c − D reaches 1 − 1/e of the best; the picks do not depend on c ≥ max D.
    """

    source = "Shin et al., Loss-Curvature Matching for Dataset Selection and Condensation, AISTATS 2023"

    def distance(self, features: Features) -> Distance:
        """Return the distances between gradients and curvatures."""
        return CurvatureDistance(features, self.eps, self.num_dims)
