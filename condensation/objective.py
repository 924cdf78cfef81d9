"""The objective of gradient matching: the distance of two sets' gradients, and for LCMat-C of their curvatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Terms:
    """The two terms of the objective, each summed over classes, without the weight ρ/2."""

    matching: Tensor
    curvature: Tensor

    @classmethod
    def total(cls, parts: Sequence[Terms]) -> Terms:
        """Return the sums of all parts."""
        matching, curvature = ([getattr(part, name) for part in parts] for name in ("matching", "curvature"))
        return cls(torch.stack(matching).sum(), torch.stack(curvature).sum())


@dataclass(frozen=True)
class Objective:
    """D(∇L(T), ∇L(S)) + (ρ/2)·‖C(T) − C(S)‖, class by class (Shin et al., 2023)."""

    distance: Distance
    rho: float = 0.0

    def __call__(self, real: ClassGradients, synthetic: ClassGradients) -> tuple[Tensor, Tensor, Tensor]:
        """Return the objective, and its two terms without the weight ρ/2; [k] each."""
        matching = self.distance(real.gradients, synthetic.gradients)
        if real.curvature is None or synthetic.curvature is None:
            return matching, matching, torch.zeros_like(matching)
        gap = torch.linalg.vector_norm(real.curvature - synthetic.curvature, dim=(1, 2))
        return matching + self.rho / 2 * gap, matching, gap


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines of vectors along the last dimension."""
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(dim=-1) / (norms + _TINY)
