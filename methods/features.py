"""What a proxy network says of each sample, and the closed form of its last layer's derivatives.

With embedding z, probabilities p = softmax(logits), one-hot y and ẑ = [1, z], the cross-entropy of one sample
has, with respect to the last linear layer [bias, weights], the gradient g = (p − y) ⊗ ẑ and the Hessian
diagonal h = p(1 − p) ⊗ ẑ² (LCMat, Shin et al. 2023). Both stay in factors here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.tensor_memory import empty

_EQUAL = 1e-9  # variances this close, relatively, are equal
_CLASSES_AT_ONCE, _COLUMNS_AT_ONCE = 64, 64


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings, logits and labels of n samples, on one device.

    Attributes:
        embeddings: floating [n, d].
        logits: floating [n, C].
        labels: int64 [n] in [0, C).
    """

    embeddings: Tensor
    logits: Tensor
    labels: Tensor

    @classmethod
    def of(cls, embeddings: Any, logits: Any, labels: Any) -> Features:
        """Validated features from tensors or arrays; half precision becomes float32.

        Raises:
            UserError: lengths that differ, wrong ranks, NaN or infinite values, labels outside [0, C).
        """
        z = _matrix("embeddings", embeddings)
        f = _matrix("logits", logits).to(z.device)
        y = as_labels(labels).to(z.device)
        if not len(z) == len(f) == len(y):
            raise UserError(f"embeddings, logits and labels differ in length: {len(z)}, {len(f)} and {len(y)} samples")
        if len(y) and int(y.max()) >= f.shape[1]:
            raise UserError(f"label {int(y.max())} has no logit: there are {f.shape[1]} classes, from 0")
        return cls(z, f, y)

    def __len__(self) -> int:
        return len(self.labels)

    def check_alike(self, other: Features) -> None:
        """Raise UserError unless ``other`` has as many columns."""
        mine, others = ((each.embeddings.shape[1], each.logits.shape[1]) for each in (self, other))
        if mine != others:
            raise UserError(
                f"validation samples have {others[0]} embedding and {others[1]} logit columns, "
                f"the samples to select from {mine[0]} and {mine[1]}"
            )

    def subset(self, indices: Tensor) -> Features:
        """The features of the samples at ``indices`` (int64 [m]); all of them in order are not copied."""
        if torch.equal(indices, torch.arange(len(self), device=indices.device)):
            return self
        return Features(self.embeddings[indices], self.logits[indices], self.labels[indices])

    def probabilities(self) -> Tensor:
        """p, float64 [n, C]."""
        return self.logits.double().softmax(dim=1)

    def residuals(self) -> Tensor:
        """p − y, float64 [n, C], exact to rounding however near p_y is to one."""
        p = self.probabilities()
        own = self.labels[:, None]  # [n, 1]
        return p.scatter(1, own, -complements(p).gather(1, own))

    def augmented(self) -> Tensor:
        """ẑ = [1, z], float64 [n, d + 1]."""
        z = self.embeddings
        augmented = empty(len(z), z.shape[1] + 1, dtype=torch.float64, device=z.device)
        augmented[:, 0], augmented[:, 1:] = 1, z
        return augmented

    def gradient_norms(self) -> Tensor:
        """‖g_i‖₂ = ‖p − y‖·‖ẑ‖, float64 [n]."""
        return self.residuals().norm(dim=1) * self.augmented().norm(dim=1)


def complements(p: Tensor) -> Tensor:
    """1 − p of probabilities p [n, C], that of the largest as the sum of the others, which does not cancel."""
    top = p.argmax(dim=1, keepdim=True)  # [n, 1]
    return (1 - p).scatter_(1, top, p.scatter(1, top, 0.0).sum(dim=1, keepdim=True))


def curvature_coordinates(features: Features, num_dims: int) -> Tensor:
    """h at its ``num_dims`` coordinates of largest variance over these samples, float64 [n, K].

    Variances equal to rounding go to the lowest coordinate, counting classes first: (c, k) is c·(d + 1) + k.

    Raises:
        UserError: the embeddings are so large that the variances overflow.
    """
    p = features.probabilities()
    s = p * complements(p)  # [n, C]
    v = features.augmented()  # [n, d + 1]
    count = min(num_dims, s.shape[1] * v.shape[1])
    coordinates = _largest(_largest_variances(s, v, count).flatten(), count)  # [K]
    rows, columns = coordinates // v.shape[1], coordinates % v.shape[1]
    return s[:, rows] * v[:, columns].square()  # [n, K]


def product_variance(s: Tensor, w: Tensor) -> Tensor:
    """The variance (of the population, over the n samples) of every product s_c·w_k, [..., C, m].

    With centred factors a = s − s̄, b = w − w̄ it comes by matrix products, never [n, C, m]:
    Var(sw) = w̄²·E[a²] + 2w̄·E[a·s·b] + E[s²b²] − E[a·b]². Centring keeps it free of cancellation, but where a large
    w meets an s near zero: there E[s²w²] − E[sw]² has the smaller terms, and so the smaller rounding.

    Args:
        s: floating [..., n, C], w: floating [..., n, m].
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


def _largest_variances(s: Tensor, v: Tensor, count: int) -> Tensor:
    """The variance of s_c·v_k², with −∞ for classes that cannot have one of the ``count`` largest, [C, d + 1].

    Only a few of many classes have probabilities that vary. A few columns at a time stay in the processor's cache.
    """
    variance = s.new_full((s.shape[1], v.shape[1]), -torch.inf)
    largest = s.new_empty(0)  # at most ``count`` so far
    for bound, classes in _bounded_classes(s, v):
        if len(largest) == count and bound < (1 - _EQUAL) * float(largest.amin()):
            break
        group = s[:, classes]
        parts = [product_variance(group, some.square()) for some in v.split(_COLUMNS_AT_ONCE, dim=1)]
        part = torch.cat(parts, dim=1)  # [c, d + 1]
        refuse_overflow(part)
        variance[classes] = part
        known = torch.cat([largest, part.flatten()])
        largest = known.topk(min(count, len(known))).values
    return variance


def _bounded_classes(s: Tensor, v: Tensor) -> list[tuple[float, Tensor]]:
    """Classes, as many as are worth taking together, and what bounds their variances, the largest bound first.

    With w = v², Var(s_c·w_k) ≤ E[s_c²·w_k²] ≤ √(E[s_c⁴]·E[w_k⁴]).
    """
    if s.shape[1] <= _CLASSES_AT_ONCE:
        return [(torch.inf, torch.arange(s.shape[1], device=s.device))]
    bounds = _root_mean_fourth_power(s) * _root_mean_fourth_power(v.square()).amax()  # [C]
    bounds, order = bounds.sort(descending=True)
    return list(zip(bounds[::_CLASSES_AT_ONCE].tolist(), order.split(_CLASSES_AT_ONCE), strict=True))


def _root_mean_fourth_power(values: Tensor) -> Tensor:
    return values.square().square_().mean(dim=0).sqrt_()


def refuse_overflow(values: Tensor) -> None:
    """Raise UserError where ``values`` overflowed."""
    if not bool(torch.isfinite(values).all()):
        raise UserError("the embeddings are too large: their squares overflow; scale them down")


def _largest(values: Tensor, count: int) -> Tensor:
    """Where the ``count`` largest of ``values`` [m] are, int64 [count]; the lowest first among equals."""
    least = values.topk(count).values.amin()
    margin = _EQUAL * least.abs()
    above = (values > least + margin).nonzero()[:, 0]
    equal = ((values - least).abs() <= margin).nonzero()[:, 0]
    return torch.cat([above, equal[: count - len(above)]])


def as_labels(labels: Any) -> Tensor:
    """Labels as int64 [n].

    Raises:
        UserError: not one row of non-negative integers.
    """
    y = _tensor("labels", labels)
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise UserError(f"labels are one row of integers, not {y.dtype} {list(y.shape)}")
    y = y.long()
    if len(y) and int(y.min()) < 0:
        raise UserError(f"labels start at 0; found {int(y.min())}")
    return y


def as_scores(scores: Any, n: int) -> Tensor:
    """Scores as float64 [n].

    Raises:
        UserError: not one number for each of the ``n`` samples, or NaN among them.
    """
    values = _tensor("scores", scores).double()
    if values.shape != (n,) or bool(values.isnan().any()):
        raise UserError(f"scores are one number for each of the {n} samples, none NaN")
    return values


def _matrix(name: str, values: Any) -> Tensor:
    matrix = _tensor(name, values)
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise UserError(f"{name} are a matrix of floating-point numbers, not {matrix.dtype} {list(matrix.shape)}")
    matrix = matrix.detach().to(torch.float64 if matrix.dtype == torch.float64 else torch.float32)
    if matrix.numel() and not all(bool(end.isfinite()) for end in matrix.aminmax()):
        low, high = matrix.aminmax(dim=1)
        bad = (~(low.isfinite() & high.isfinite())).nonzero()
        raise UserError(f"{name} hold NaN or infinite values, the first in sample {int(bad[0])}")
    return matrix


def _tensor(name: str, values: Any) -> Tensor:
    if values is None:
        raise UserError(f"{name} are missing")
    if isinstance(values, Tensor):
        if values.layout != torch.strided:
            raise UserError(f"{name} are a sparse tensor; make it dense first")
        return values
    try:
        array = np.ascontiguousarray(values)
        array = array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
        return torch.from_numpy(array)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name} are not numbers in rows of equal length: {reason}") from error
