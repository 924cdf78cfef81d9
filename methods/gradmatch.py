"""GradMatch: a weighted subset whose weighted gradients sum to the mean gradient."""

from __future__ import annotations

from collections.abc import Sequence
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
_UPHILL = 1e-12  # of the largest product of a gradient and the target; below, a derivative counts as zero
_ZERO = 1e-6  # of the largest weight; below, a weight is zero


@dataclass(frozen=True)
class GradMatch(Method):
    """Minimise ‖Σ_{j∈S} w_j g_j − b‖² + λ‖w‖², λ = 1, by orthogonal matching pursuit of b.

    b is the mean gradient, of the validation samples where there are some (of the class, where the selection is
    balanced and some are in it). Weights are never negative, so each pick has the highest ⟨g_i, residual⟩, and
    not the highest absolute value: a gradient that points away can only get the weight zero. The weights of all
    picks, and with them the residual, are then solved for anew, non-negative. A pick whose weight comes out zero
    still fills its place in the budget: it stays where the pursuit picked it, and counts as little as the
    lightest of the others, so that no batch is without weight. Weights are scaled to sum to the number of samples
    selected from, as Craig's do, since the ridge shrinks those of one class more than those of another.
    """

    source = "Killamsetty et al., GRAD-MATCH: Gradient Matching based Data Subset Selection, ICML 2021, algorithm 2"
    takes_validation = True
    revision = 2  # 1 picked by absolute values, under weights of either sign

    @property
    def nested(self) -> bool:
        """Return False: the picks are nested, but their weights are not."""
        return False

    def least_memory(self, inputs: SelectionInputs, n: int, budget: int) -> int:
        """Return the bytes of copies of the features, and of the products of all picks and their factor."""
        return super().least_memory(inputs, n, budget) + 8 * 2 * budget**2

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick by matching pursuit with non-negative weights."""
        return self.pick_sizes(inputs, [budget], settings)[0]

    def pick_sizes(self, inputs: SelectionInputs, budgets: Sequence[int], settings: PickSettings) -> list[Coreset]:
        """Return a pick of each of ``budgets`` from one pursuit, which knows the weights of its first k picks."""
        gradients = self.features_of(inputs).gradients()
        held_out = inputs.validation
        target = held_out.gradients().mean() if held_out is not None and len(held_out) else gradients.mean()
        with small_steps(gradients.augmented.numel()):
            pursuits = matching_pursuit(gradients, target, budgets, _RIDGE)
        return [Coreset(each.picks, weights=training_weights(each.weights, len(gradients))) for each in pursuits]


@dataclass(frozen=True, eq=False)
class Pursuit:
    """The picks of a matching pursuit, int64 [k], and argmin_{w ≥ 0} ‖Σ_j w_j g_j − b‖² + λ‖w‖², float64 [k]."""

    picks: np.ndarray
    weights: np.ndarray


def matching_pursuit(gradients: Gradients, target: Tensor, budgets: Sequence[int], ridge: float) -> list[Pursuit]:
    """Pick by orthogonal matching pursuit of ``target`` [C, d + 1], without replacement, with weights of at least 0.

    Returns the pursuit as it was after each of ``budgets`` picks.
    A pick costs one product of the factors and an update of the weights; the residual is kept as a matrix
    [C, d + 1].
    """
    r, z = gradients.residuals, gradients.augmented  # [n, C], [n, d + 1]
    squared_norms, correlations = gradients.squared_norms(), gradients.inner(target)  # [n]
    budget = max(budgets)
    picked_r, picked_z = r.new_empty(budget, r.shape[1]), z.new_empty(budget, z.shape[1])
    scale = target.norm() * squared_norms.max().sqrt()
    weights = NonNegativeRidge(budget, ridge, _UPHILL * scale)
    residual = target
    picks: list[int] = []
    after: dict[int, Pursuit] = {}
    for t in range(budget):
        strength = gradients.inner(residual)  # [n]
        strength[picks] = -torch.inf
        pick = first_highest(strength, scale)
        picks.append(pick)
        picked_r[t], picked_z[t] = r[pick], z[pick]
        gram = (picked_r[:t] @ r[pick]) * (picked_z[:t] @ z[pick])  # [t]
        weights.add(gram, squared_norms[pick], correlations[pick])
        residual = target - (picked_r[: t + 1] * weights.values[: t + 1, None]).T @ picked_z[: t + 1]  # [C, d + 1]
        if len(picks) in budgets:
            after[len(picks)] = Pursuit(np.array(picks, dtype=np.int64), weights.values[: t + 1].clone().cpu().numpy())
    return [after[each] for each in budgets]


class NonNegativeRidge:
    """argmin_{w ≥ 0} ‖Σ_j w_j g_j − b‖² + λ‖w‖² of gradients that come one by one, by Lawson and Hanson's active set.

    Each new gradient starts from the weights of those before, so that few of them change. The Cholesky factor of
    G + λI is kept for those whose weight is above 0 alone.

    Args:
        capacity: how many gradients will come.
        ridge: λ.
        uphill: derivatives up to this one count as zero, a tensor on the device to compute on.

    Attributes:
        values: w, float64 [capacity], zero for those that have not come.
    """

    def __init__(self, capacity: int, ridge: float, uphill: Tensor) -> None:
        self.ridge, self.uphill, self.count = ridge, uphill, 0
        self.gram, self.factor = uphill.new_zeros(capacity, capacity), uphill.new_zeros(capacity, capacity)
        self.products, self.values = uphill.new_zeros(capacity), uphill.new_zeros(capacity)
        self.above: list[int] = []  # those of a weight above 0, in the order of the factor's rows

    def add(self, gram: Tensor, squared_norm: Tensor, product: Tensor) -> None:
        """Take a gradient g in, and find the weights anew.

        Args:
            gram: its products with those before, float64 [count].
            squared_norm: ‖g‖².
            product: ⟨g, b⟩.
        """
        t = self.count
        self.gram[t, :t], self.gram[:t, t], self.gram[t, t] = gram, gram, squared_norm
        self.products[t] = product
        self.count += 1
        while (best := self._steepest()) is not None:
            self._append(best)
            self._descend()
            if best not in self.above:  # to rounding, it was no way down
                break

    def _steepest(self) -> int | None:
        """Return the gradient of weight 0 that lowers the objective fastest, None where none does."""
        slopes = (self.products - self.gram @ self.values)[: self.count]  # [count]
        slopes[self.above] = -torch.inf
        best = int(slopes.argmax())
        return best if bool(slopes[best] > self.uphill) else None

    def _descend(self) -> None:
        """Go to the minimiser over those above 0; where one of them would fall below, stop there and leave it out."""
        while self.above:
            p = len(self.above)
            solved = torch.cholesky_solve(self.products[self.above, None], self.factor[:p, :p])[:, 0]  # [p]
            if bool((solved > 0).all()):
                self.values[self.above] = solved
                return
            values = self.values[self.above]  # [p]
            steps = torch.where(solved > 0, torch.inf, values / (values - solved))
            self.values[self.above] = values + steps.min() * (solved - values)
            self._remove(int(steps.argmin()))

    def _append(self, j: int) -> None:
        p = len(self.above)
        row = torch.linalg.solve_triangular(self.factor[:p, :p], self.gram[self.above, j, None], upper=False)[:, 0]
        self.factor[p, :p] = row
        least = (_ROUNDING * self.gram[j, j]).clamp(min=self.ridge)  # of the squared diagonal: at least the ridge
        self.factor[p, p] = torch.maximum(self.gram[j, j] + self.ridge - row @ row, least).sqrt()
        self.above.append(j)

    def _remove(self, position: int) -> None:
        """Leave the one at ``position`` of ``above`` out of the factor; only rows below it change."""
        p = len(self.above)
        below = self.factor[position + 1 : p, position:p].clone()  # [p − position − 1, p − position]
        self.factor[position : p - 1, :position] = self.factor[position + 1 : p, :position].clone()
        self.factor[position : p - 1, position : p - 1] = torch.linalg.qr(below.T).R.T
        self.values[self.above.pop(position)] = 0


def training_weights(weights: np.ndarray, n: int) -> np.ndarray:
    """Return ``weights`` [k], zeros raised to the smallest of the others, scaled to sum to ``n``; float32 [k]."""
    matched = weights > _ZERO * weights.max()
    filled = np.where(matched, weights, weights[matched].min()) if matched.any() else np.ones_like(weights)
    return (filled * (n / filled.sum())).astype(np.float32)
