"""The objective of gradient matching: the distance of two sets' gradients, and for LCMat-C of their curvatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from condensation.class_gradients import ClassGradients

_TINY = 1e-6

Distance = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]  # layers [k, out, rest] twice -> [k]


def layerwise(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Return the sum over layers and outputs of 1 − cosine (Zhao et al., 2021), [k]."""
    return torch.stack([(1 - _cosine(a, b)).sum(dim=1) for a, b in zip(real, synthetic, strict=True)]).sum(dim=0)


def squared(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Return the squared Euclidean distance of all weights' gradients, [k]."""
    return torch.stack([(a - b).square().sum(dim=(1, 2)) for a, b in zip(real, synthetic, strict=True)]).sum(dim=0)


def cosine(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Return 1 − the cosine of all weights' gradients as one vector, [k]."""
    flat = [torch.cat([layer.flatten(1) for layer in layers], dim=1) for layers in (real, synthetic)]
    return 1 - _cosine(*flat)


DISTANCES: dict[str, Distance] = {"layerwise": layerwise, "squared": squared, "cosine": cosine}

SCALES = ("matching", "target", "none")  # of the curvature term, see Objective


@dataclass(frozen=True, eq=False)
class Terms:
    """The two terms of the objective, each summed over classes, without the weight ρ/2.

    ``share`` is that of the second term in the gradient of the pixels, ‖c‖ / (‖c‖ + ‖m‖), summed over classes too.
    """

    matching: Tensor
    curvature: Tensor
    share: Tensor

    @classmethod
    def total(cls, parts: Sequence[Terms]) -> Terms:
        """Return the sums of all parts."""
        return cls(*(torch.stack([getattr(part, field.name) for part in parts]).sum() for field in fields(cls)))


@dataclass(frozen=True)
class Objective:
    """D(∇L(T), ∇L(S)) + (ρ/2)·‖C(T) − C(S)‖, class by class (Shin et al., 2023).

    The distance D of gradients adds up cosines of every output of every layer, the curvature is of the last layer
    alone: unscaled, the second term hardly moves a pixel, however far the curvatures are apart.

    Attributes:
        distance: D.
        rho: ρ.
        scale: ``none``; ``target``, which divides the second term by ‖C(T)‖; or ``matching``, which divides it too,
            and besides gives what it adds to the gradient of the pixels of a class ρ/2 times the length of what the
            first term gives.
    """

    distance: Distance
    rho: float = 0.0
    scale: str = "none"

    def __call__(self, real: ClassGradients, synthetic: ClassGradients) -> tuple[Tensor, Tensor]:
        """Return the two terms, the second without the weight ρ/2; [k] each."""
        matching = self.distance(real.gradients, synthetic.gradients)
        if real.curvature is None or synthetic.curvature is None:
            return matching, torch.zeros_like(matching)
        gap = torch.linalg.vector_norm(real.curvature - synthetic.curvature, dim=(1, 2))
        if self.scale != "none":
            gap = gap / (torch.linalg.vector_norm(real.curvature, dim=(1, 2)) + _TINY)
        return matching, gap


def balanced(matching: Tensor, curvature: Tensor, rho: float) -> Tensor:
    """Return what the curvature term adds to the pixels' gradient, at ρ/2 times the length of what the other gives.

    Args:
        matching: the gradient of the first term, [k, …], k classes.
        curvature: that of the second, of any length; where it is zero it stays so.
        rho: ρ.
    """
    lengths = [_lengths(each).clamp(min=torch.finfo(each.dtype).tiny) for each in (matching, curvature)]
    factors = rho / 2 * lengths[0] / lengths[1]  # [k]
    return curvature * factors.view(-1, *[1] * (curvature.ndim - 1))


def shares(matching: Tensor, curvature: Tensor) -> Tensor:
    """Return ‖c‖ / (‖c‖ + ‖m‖) of two gradients [k, …], [k]; 0 where both vanish."""
    m, c = _lengths(matching), _lengths(curvature)
    return c / (c + m).clamp(min=torch.finfo(c.dtype).tiny)


def _lengths(gradients: Tensor) -> Tensor:
    return gradients.flatten(1).norm(dim=1)  # [k]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines of vectors along the last dimension."""
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(dim=-1) / (norms + _TINY)
