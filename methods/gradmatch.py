"""GradMatch: a weighted subset whose weighted gradients sum to the mean gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.base import Method, PickSettings, SelectionInputs
from methods.tie_breaking import first_highest
from nets.last_layer import Gradients
from utils.data.coreset import Coreset
from utils.threads import small_steps

_RIDGE = 1.0
_ROUNDING = 1e-15  # of a squared gradient norm
_ZERO = 1e-6  # of the largest weight; below, a weight is zero
_ITERATIONS = 30  # of the non-negative least squares, per pick


@dataclass(frozen=True)
class GradMatch(Method):
    """Minimise ‖Σ_{j∈S} w_j g_j − b‖² + λ‖w‖², λ = 1, by orthogonal matching pursuit of b.

    b is the mean gradient, of the validation samples where there are some (of the class, where the selection is
    balanced and some are in it). Each pick has the highest |⟨g_i, residual⟩|. The weights are then solved for
    anew, non-negative. A pick whose weight comes out zero still fills its place in the budget: it stays where
    the pursuit picked it, and counts as little as the lightest of the others, so that no batch is without
    weight. Weights are scaled to sum to the number of samples selected from, as Craig's do, since the ridge
    shrinks those of one class more than those of another.
    """

    source = "Killamsetty et al., GRAD-MATCH: Gradient Matching based Data Subset Selection, ICML 2021, algorithm 2"
    takes_validation = True

    @property
    def nested(self) -> bool:
        """Return False: the picks are nested, but their weights are not."""
        return False

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick by matching pursuit, and weigh the picks by non-negative least squares."""
        gradients = self.features_of(inputs).gradients()
        held_out = inputs.validation
        target = held_out.gradients().mean() if held_out is not None and len(held_out) else gradients.mean()
        with small_steps(gradients.augmented.numel()):
            pursuit = matching_pursuit(gradients, target, budget, _RIDGE)
        return Coreset(pursuit.picks, weights=training_weights(pursuit.non_negative(), len(gradients)))


@dataclass(frozen=True, eq=False)
class Pursuit:
    """The picks of a matching pursuit, and the ridge regression of the target on their gradients.

    Attributes:
        picks: int64 [k].
        factor: L, float64 [k, k], with L Lᵀ = G + λI of the picks' Gram matrix G.
        projection: L⁻¹ c, float64 [k], c the products of the picks' gradients and the target.
    """

    picks: np.ndarray
    factor: Tensor
    projection: Tensor

    def weights(self) -> np.ndarray:
        """Return argmin_w ‖Σ_j w_j g_j − b‖² + λ‖w‖², of either sign, float64 [k]."""
        return _back_substitute(self.factor, self.projection).cpu().numpy()

    def non_negative(self) -> np.ndarray:
        """Return the same minimiser under w ≥ 0, which minimises ‖Lᵀ w − L⁻¹ c‖; float64 [k]."""
        from scipy.optimize import nnls  # here, because importing it takes a quarter of a second

        factor, projection = self.factor.T.cpu().numpy(), self.projection.cpu().numpy()
        return nnls(factor, projection, maxiter=_ITERATIONS * len(projection))[0]


def matching_pursuit(gradients: Gradients, target: Tensor, budget: int, ridge: float) -> Pursuit:
    """Pick by orthogonal matching pursuit of ``target`` [C, d + 1], without replacement.

    A pick costs one product of the factors and a row of the Cholesky factor; the residual is kept as a matrix
    [C, d + 1].
    """
    r, z = gradients.residuals, gradients.augmented  # [n, C], [n, d + 1]
    squared_norms, correlations = gradients.squared_norms(), gradients.inner(target)  # [n]
    factor, projection = r.new_zeros(budget, budget), r.new_zeros(budget)
    picked_r, picked_z = r.new_empty(budget, r.shape[1]), z.new_empty(budget, z.shape[1])
    scale = target.norm() * squared_norms.max().sqrt()
    least = (_ROUNDING * squared_norms).clamp(min=ridge)  # [n], of the squared diagonal, which is at least the ridge
    residual = target
    picks: list[int] = []
    for t in range(budget):
        strength = gradients.inner(residual).abs()  # [n]
        strength[picks] = -torch.inf
        pick = first_highest(strength, scale)
        picks.append(pick)
        picked_r[t], picked_z[t] = r[pick], z[pick]
        gram = (picked_r[:t] @ r[pick]) * (picked_z[:t] @ z[pick])  # [t]
        row = torch.linalg.solve_triangular(factor[:t, :t], gram[:, None], upper=False)[:, 0]  # [t]
        factor[t, :t] = row
        factor[t, t] = torch.maximum(squared_norms[pick] + ridge - row @ row, least[pick]).sqrt()
        projection[t] = (correlations[pick] - row @ projection[:t]) / factor[t, t]
        weights = _back_substitute(factor[: t + 1, : t + 1], projection[: t + 1])  # [t + 1]
        residual = target - (picked_r[: t + 1] * weights[:, None]).T @ picked_z[: t + 1]  # [C, d + 1]
    return Pursuit(np.array(picks, dtype=np.int64), factor, projection)


def training_weights(weights: np.ndarray, n: int) -> np.ndarray:
    """Return ``weights`` [k], zeros raised to the smallest of the others, scaled to sum to ``n``; float32 [k]."""
    matched = weights > _ZERO * weights.max()
    filled = np.where(matched, weights, weights[matched].min()) if matched.any() else np.ones_like(weights)
    return (filled * (n / filled.sum())).astype(np.float32)


def _back_substitute(factor: Tensor, projection: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor.T, projection[:, None], upper=True)[:, 0]
