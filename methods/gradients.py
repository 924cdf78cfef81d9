"""Per-sample last-layer gradients in factors, and the two products of them that matching methods work with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.features import Features
from methods.greedy.distances import refuse_overflow


@dataclass(frozen=True, eq=False)
class Gradients:
    """g_i = r_i ⊗ ẑ_i of n samples, with r = p − y and ẑ = [1, z]; the n × C(d + 1) of them are never built.

    Attributes:
        residuals: r, float64 [n, C].
        augmented: ẑ, float64 [n, d + 1].
    """

    residuals: Tensor
    augmented: Tensor

    @classmethod
    def of(cls, features: Features) -> Gradients:
        """The gradients of plain cross-entropy.

        Raises:
            UserError: the embeddings' squares overflow.
        """
        gradients = cls(features.residuals(), features.augmented())
        refuse_overflow(gradients.squared_norms())
        return gradients

    def __len__(self) -> int:
        return len(self.residuals)

    def mean(self) -> Tensor:
        """Their mean, [C, d + 1]."""
        return self.residuals.T @ self.augmented / len(self)

    def inner(self, direction: Tensor) -> Tensor:
        """⟨g_i, direction⟩ [n] for a ``direction`` [C, d + 1]: r_iᵀ · direction · ẑ_i."""
        return ((self.augmented @ direction.T) * self.residuals).sum(dim=1)

    def squared_norms(self) -> Tensor:
        """‖g_i‖², [n]."""
        return self.residuals.square().sum(dim=1) * self.augmented.square().sum(dim=1)
