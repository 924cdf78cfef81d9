"""The derivatives of the cross-entropy loss by a network's last linear layer, in closed form.

With embedding z, probabilities p = softmax(logits), one-hot y and ẑ = [1, z], the loss of one sample has, with
respect to the last layer [bias, weights], the gradient g = (p − y) ⊗ ẑ and the Hessian diagonal h = p(1 − p) ⊗ ẑ²
(LCMat, Shin et al. 2023). Both stay in factors here: nothing of size n × C(d + 1) is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError
from utils.tensor_memory import empty

_EQUAL = 1e-9  # variances this close, relatively, are equal
_CLASSES_AT_ONCE, _COLUMNS_AT_ONCE = 64, 64


def probabilities(logits: Tensor) -> Tensor:
    """Return p = softmax(logits) of ``logits`` [n, C], float64 [n, C]."""
    return logits.double().softmax(dim=1)


def complements(p: Tensor) -> Tensor:
    """Return 1 − p of probabilities p [n, C], without cancellation: for the largest p, the sum of the others."""
    top = p.argmax(dim=1, keepdim=True)  # [n, 1]
    return (1 - p).scatter_(1, top, p.scatter(1, top, 0.0).sum(dim=1, keepdim=True))


def residuals(logits: Tensor, labels: Tensor) -> Tensor:
    """Return p − y, float64 [n, C], exact to rounding however near p_y is to one.

    Args:
        logits: floating [n, C].
        labels: int64 [n].
    """
    p = probabilities(logits)
    own = labels[:, None]  # [n, 1]
    return p.scatter(1, own, -complements(p).gather(1, own))


def augment(embeddings: Tensor) -> Tensor:
    """Return ẑ = [1, z] of ``embeddings`` [n, d], float64 [n, d + 1]."""
    n, d = embeddings.shape
    augmented = empty(n, d + 1, dtype=torch.float64, device=embeddings.device)
    augmented[:, 0], augmented[:, 1:] = 1, embeddings
    return augmented


def gradient_norms(embeddings: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return ‖g_i‖₂ = ‖p − y‖·‖ẑ‖, float64 [n]; shapes as in ``Gradients.of``."""
    return residuals(logits, labels).norm(dim=1) * augment(embeddings).norm(dim=1)


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradients g_i = r_i ⊗ ẑ_i of n samples in factors, with r = p − y.

    Attributes:
        residuals: r, float64 [n, C].
        augmented: ẑ, float64 [n, d + 1].
    """

    residuals: Tensor
    augmented: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, logits: Tensor, labels: Tensor) -> Gradients:
        """Return the gradients at ``embeddings`` [n, d], ``logits`` [n, C] and ``labels`` (int64 [n]).

        Raises:
            UserError: the embeddings' squares overflow.
        """
        gradients = cls(residuals(logits, labels), augment(embeddings))
        refuse_overflow(gradients.squared_norms())
        return gradients

    def __len__(self) -> int:
        """Return n."""
        return len(self.residuals)

    def mean(self) -> Tensor:
        """Return their mean, [C, d + 1]."""
        return self.residuals.T @ self.augmented / len(self)

    def inner(self, direction: Tensor) -> Tensor:
        """Return ⟨g_i, direction⟩ = r_iᵀ · direction · ẑ_i, [n], for a ``direction`` [C, d + 1]."""
        return ((self.augmented @ direction.T) * self.residuals).sum(dim=1)

    def squared_norms(self) -> Tensor:
        """Return ‖g_i‖², [n]."""
        return self.residuals.square().sum(dim=1) * self.augmented.square().sum(dim=1)


def hessian_coordinates(embeddings: Tensor, logits: Tensor, num_dims: int) -> Tensor:
    """Return the Hessian diagonals h_i at the ``num_dims`` coordinates of largest variance, float64 [n, K].

    Shapes as in ``largest_coordinates``; all are NaN where the variances overflow, so that nothing waits to refuse it.
    """
    factors = _hessian_factors(embeddings, logits)
    coordinates, largest = _of_largest_variance(*factors, num_dims)
    return _at(*factors, coordinates).masked_fill_(~largest.isfinite(), torch.nan)


def hessian_at(embeddings: Tensor, logits: Tensor, coordinates: Tensor) -> Tensor:
    """Return the Hessian diagonals h_i at ``coordinates`` (int64 [K]), float64 [n, K]."""
    return _at(*_hessian_factors(embeddings, logits), coordinates)


def largest_coordinates(embeddings: Tensor, logits: Tensor, num_dims: int) -> Tensor:
    """Return the ``num_dims`` coordinates of the Hessian diagonal of largest variance, int64 [K].

    Variances equal to rounding go to the lowest coordinate, counting classes first: (c, k) is c·(d + 1) + k.

    Args:
        embeddings: floating [n, d].
        logits: floating [n, C].
        num_dims: K; all C(d + 1) coordinates where there are no more.

    Raises:
        UserError: the embeddings are so large that the variances overflow.
    """
    coordinates, largest = _of_largest_variance(*_hessian_factors(embeddings, logits), num_dims)
    read_finite(largest)
    return coordinates


def _hessian_factors(embeddings: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return s = p(1 − p), [n, C], and ẑ, [n, d + 1], both float64, of which h = s ⊗ ẑ²."""
    p = probabilities(logits)
    return p * complements(p), augment(embeddings)


def _at(s: Tensor, v: Tensor, coordinates: Tensor) -> Tensor:
    rows, columns = coordinates // v.shape[1], coordinates % v.shape[1]
    return s[:, rows] * v[:, columns].square()  # [n, K]


def _of_largest_variance(s: Tensor, v: Tensor, num_dims: int) -> tuple[Tensor, Tensor]:
    """Return the coordinates, int64 [K], and the largest variance, NaN where one overflows."""
    count = min(num_dims, s.shape[1] * v.shape[1])
    variances = _largest_variances(s, v, count).flatten()
    return _largest(variances, count), variances.amax()


def product_variance(s: Tensor, w: Tensor) -> Tensor:
    """Return the variance (of the population, over the n samples) of every product s_c·w_k, [..., C, m].

    With centred factors a = s − s̄, b = w − w̄ it comes by matrix products, never [n, C, m]:
    Var(sw) = w̄²·E[a²] + 2w̄·E[a·s·b] + E[s²b²] − E[a·b]². Centring keeps it free of cancellation, except where a
    large w meets an s near zero: there E[s²w²] − E[sw]² has the smaller terms, and so the smaller rounding.

    Args:
        s: floating [..., n, C].
        w: floating [..., n, m].
    """
    n = max(s.shape[-2], 1)
    w_mean = w.mean(dim=-2, keepdim=True)  # [..., 1, m]
    a, b = s - s.mean(dim=-2, keepdim=True), w - w_mean
    ab, asb = (torch.cat([a, a * s], dim=-1).mT @ b / n).tensor_split(2, dim=-2)  # [..., C, m] each
    s2b2 = s.square().mT @ b.square() / n  # [..., C, m]
    a2 = a.square().mean(dim=-2, keepdim=True).mT  # [..., C, 1]
    centred = w_mean.square() * a2 + 2 * w_mean * asb + s2b2 - ab.square()
    second = s.square().mT @ w.square() / n  # E[s²w²], [..., C, m]
    direct = second - (s.mT @ w / n).square()
    return torch.where(second < w_mean.square() * a2 + s2b2, direct, centred)


def refuse_overflow(values: Tensor) -> None:
    """Raise UserError where ``values`` are not all finite."""
    read_finite(torch.where(torch.isfinite(values).all(), 0.0, torch.nan))


def read_finite(*values: Tensor) -> list[float]:
    """Return single ``values`` of one device, waiting for it once. Raises UserError where one is not finite."""
    numbers: list[float] = torch.stack([each.double() for each in values]).tolist()
    if not all(map(math.isfinite, numbers)):
        raise UserError("the embeddings are too large: their squares overflow; scale them down")
    return numbers


def _largest_variances(s: Tensor, v: Tensor, count: int) -> Tensor:
    """Return the variances of s_c·v_k², [C, d + 1], with −∞ for classes that hold none of the ``count`` largest.

    Where one overflows, those of its group of classes are NaN.
    Of many classes only a few have probabilities that vary: the others are left out by a bound on their variances.
    On a CPU columns are taken a few at a time so that they stay in its cache.
    """
    variance = s.new_full((s.shape[1], v.shape[1]), -torch.inf)
    largest = s.new_empty(0)  # at most ``count`` so far
    for bound, classes in _bounded_classes(s, v):
        if len(largest) == count and bound < (1 - _EQUAL) * float(largest.amin()):
            break
        group = s[:, classes]
        width = _COLUMNS_AT_ONCE if v.device.type == "cpu" else v.shape[1]
        parts = [product_variance(group, some.square()) for some in v.split(width, dim=1)]
        part = torch.cat(parts, dim=1)  # [c, d + 1]
        part.masked_fill_(~part.isfinite().all(), torch.nan)
        variance[classes] = part
        known = torch.cat([largest, part.flatten()])
        largest = known.topk(min(count, len(known))).values
    return variance


def _bounded_classes(s: Tensor, v: Tensor) -> list[tuple[float, Tensor]]:
    """Return groups of classes with an upper bound on their variances, the largest bound first.

    With w = v², Var(s_c·w_k) ≤ E[s_c²·w_k²] ≤ √(E[s_c⁴]·E[w_k⁴]).
    """
    if s.shape[1] <= _CLASSES_AT_ONCE:
        return [(torch.inf, torch.arange(s.shape[1], device=s.device))]
    bounds = _root_mean_fourth_power(s) * _root_mean_fourth_power(v.square()).amax()  # [C]
    bounds, order = bounds.sort(descending=True)
    return list(zip(bounds[::_CLASSES_AT_ONCE].tolist(), order.split(_CLASSES_AT_ONCE), strict=True))


def _root_mean_fourth_power(values: Tensor) -> Tensor:
    return values.square().square_().mean(dim=0).sqrt_()


def _largest(values: Tensor, count: int) -> Tensor:
    """Return the positions of the ``count`` largest of ``values`` [m], int64 [count]; of equals, the lowest first."""
    least = values.topk(count).values.amin()
    margin = _EQUAL * least.abs()
    equal = (values - least).abs() <= margin
    rank = (values > least + margin).int().mul_(2).masked_fill_(equal, 1)  # 2 of those above
    position = torch.arange(len(values), dtype=torch.int32, device=values.device)
    return rank.mul_(len(values)).sub_(position).topk(count).indices
