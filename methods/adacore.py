"""AdaCore: facility location over gradients preconditioned by the Hessian diagonal."""

from __future__ import annotations

from dataclasses import dataclass

from methods.features import Features
from methods.greedy.distances import AdaCoreDistance, Distance
from methods.submodular import SetFunctionMethod


@dataclass(frozen=True)
class AdaCore(SetFunctionMethod):
    """Minimise Σ_i min_{j∈S} ‖ĝ_i − ĝ_j‖₂ with ĝ the gradient over the damped Hessian diagonal, greedily."""

    source = "Pooladzandi et al., Adaptive Second Order Coresets for Data-efficient Machine Learning, ICML 2022"

    def distance(self, features: Features) -> Distance:
        """Return the distances between preconditioned gradients."""
        return AdaCoreDistance(features)
