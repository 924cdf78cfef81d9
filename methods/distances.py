"""Distances between samples from the factors of their last-layer derivatives, exact and in bounded memory.

Nothing of size n × C(d + 1) or n × n × K is ever built. Everything is summed in float64; a distance that is
small beside its two gradients is taken again from explicit differences, so that duplicates lie at exactly 0.
Results come in the dtype of the embeddings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from methods.features import Features, curvature_coordinates
from utils.errors import UserError

_CANCELLATION = 1e-6  # squared distances below this share of the squared norms are computed again
_PAIRS_AT_ONCE = 1 << 14
_ROWS_AT_ONCE = 512


class Distance(ABC):
    """A symmetric, non-negative n × n matrix, computed where it is asked for.

    Attributes:
        n: number of samples.
        dtype: of the values returned.
        device: where they are computed.
        offset: similarities are this less the distance; None: the largest distance.
    """

    offset: float | None = None

    def __init__(self, n: int, dtype: torch.dtype, device: torch.device) -> None:
        self.n, self.dtype, self.device = n, dtype, device

    @abstractmethod
    def exact(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        """The block at the given indices (int64 [r] and [c], or slices), float64 [r, c]."""

    @abstractmethod
    def upper_bound(self) -> float:
        """A value that no distance exceeds, from the factors alone."""

    def block(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        """The same in ``self.dtype``, [r, c]."""
        return self.exact(rows, columns).to(self.dtype)

    def bands(self) -> list[slice]:
        """Slices of rows that together are the matrix, each small enough to work on."""
        return [slice(at, min(at + _ROWS_AT_ONCE, self.n)) for at in range(0, self.n, _ROWS_AT_ONCE)]

    def full(self) -> Tensor:
        """The whole matrix [n, n], each pair computed once."""
        matrix = torch.empty(self.n, self.n, dtype=self.dtype, device=self.device)
        for rows in self.bands():
            _mirror(matrix, rows, self.exact(rows, slice(rows.start, self.n)))
        return matrix


class OuterDistance(Distance):
    """‖r_i ⊗ v_i − r_j ⊗ v_j‖₂ from the factors r [n, C] and v [n, D], both float64.

    The square is ‖r_i‖²‖v_i‖² + ‖r_j‖²‖v_j‖² − 2⟨r_i, r_j⟩⟨v_i, v_j⟩.
    """

    def __init__(self, left: Tensor, right: Tensor, dtype: torch.dtype) -> None:
        super().__init__(len(left), dtype, left.device)
        self.left, self.right = left, right
        self.squared_norms = left.square().sum(dim=1) * right.square().sum(dim=1)  # [n]
        refuse_overflow(self.squared_norms)

    def exact(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        norms = self.squared_norms[rows][:, None] + self.squared_norms[columns]  # [r, c]
        squared = self.left[rows] @ self.left[columns].T
        squared.mul_(self.right[rows] @ self.right[columns].T).mul_(-2).add_(norms)
        cancelled = (squared < norms.mul_(_CANCELLATION)).nonzero()  # [m, 2]
        everything = torch.arange(self.n, device=self.device)
        for at in cancelled.split(_PAIRS_AT_ONCE):
            i, j = everything[rows][at[:, 0]], everything[columns][at[:, 1]]
            squared[at[:, 0], at[:, 1]] = self._squared_from_differences(i, j)
        return squared.sqrt_()

    def upper_bound(self) -> float:
        return 2 * float(self.squared_norms.max().sqrt())

    def _squared_from_differences(self, i: Tensor, j: Tensor) -> Tensor:
        """‖Δr‖²‖v_i‖² + ‖r_j‖²‖Δv‖² + 2⟨Δr, r_j⟩⟨v_i, Δv⟩ for pairs (i, j), int64 [m] each; [m]."""
        r, v = self.left[j], self.right[i]
        dr, dv = self.left[i] - r, v - self.right[j]
        along = dr.square().sum(dim=1) * v.square().sum(dim=1)
        across = r.square().sum(dim=1) * dv.square().sum(dim=1)
        mixed = 2 * (dr * r).sum(dim=1) * (v * dv).sum(dim=1)
        return (along + across + mixed).clamp_(min=0)


class GradientDistance(OuterDistance):
    """‖g_i − g_j‖₂ of the per-sample last-layer gradients g = (p − y) ⊗ ẑ."""

    def __init__(self, features: Features) -> None:
        super().__init__(features.residuals(), features.augmented(), features.embeddings.dtype)


class CurvatureDistance(GradientDistance):
    """D_ij = ‖g_i − g_j‖₂ + eps · Σ_{k∈K} |h_ik − h_jk| (LCMat-S, Shin et al. 2023).

    K holds the ``num_dims`` coordinates of the Hessian diagonal with the largest variance over these samples.
    """

    def __init__(self, features: Features, eps: float, num_dims: int) -> None:
        super().__init__(features)
        self.weighted_curvature = eps * curvature_coordinates(features, num_dims)  # [n, K]
        refuse_overflow(self.weighted_curvature)

    def exact(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        h = self.weighted_curvature
        return super().exact(rows, columns).add_(torch.cdist(h[rows], h[columns], p=1))

    def upper_bound(self) -> float:
        h = self.weighted_curvature
        return super().upper_bound() + float((h.amax(dim=0) - h.amin(dim=0)).sum())

    def full(self) -> Tensor:
        condensed = torch.pdist(self.weighted_curvature, p=1)  # [n(n − 1)/2], far faster than cdist
        matrix = torch.empty(self.n, self.n, dtype=self.dtype, device=self.device)
        for rows in self.bands():
            band = super().exact(rows, slice(rows.start, self.n))
            for i in range(rows.start, rows.stop):
                run = i * (2 * self.n - i - 1) // 2
                band[i - rows.start, i - rows.start + 1 :] += condensed[run : run + self.n - 1 - i]
            _mirror(matrix, rows, band)
        return matrix


class AdaCoreDistance(OuterDistance):
    """‖ĝ_i − ĝ_j‖₂ of gradients divided by their Hessian diagonal (AdaCore, Pooladzandi et al. 2022).

    The diagonal is damped factor by factor, ĝ = (p − y) / (s + δ) ⊗ ẑ / (ẑ² + δ) with s = p(1 − p), so that it
    stays a product of factors.
    """

    def __init__(self, features: Features, damping: float = 1e-2) -> None:
        p, v = features.probabilities(), features.augmented()
        left = features.residuals() / (p * (1 - p) + damping)
        super().__init__(left, v / (v.square() + damping), features.embeddings.dtype)


class CosineDistance(Distance):
    """½ − ½cos(g_i, g_j); the cosine with a zero gradient counts as 0. One minus it is a similarity."""

    offset = 1.0

    def __init__(self, features: Features) -> None:
        super().__init__(len(features), features.embeddings.dtype, features.embeddings.device)
        self.left = torch.nn.functional.normalize(features.residuals(), eps=1e-300)
        self.right = torch.nn.functional.normalize(features.augmented())

    def exact(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        cosine = self.left[rows] @ self.left[columns].T
        cosine.mul_(self.right[rows] @ self.right[columns].T)
        return cosine.neg_().add_(1).clamp_(min=0).div_(2)

    def upper_bound(self) -> float:
        return 1.0


def _mirror(matrix: Tensor, rows: slice, band: Tensor) -> None:
    """Write the upper triangle of ``band`` [b, n − rows.start] into ``matrix`` [n, n] and its transpose."""
    b = rows.stop - rows.start
    upper = band[:, :b].triu(1)  # [b, b]
    band[:, :b] = upper + upper.T
    matrix[rows, rows.start :] = band
    matrix[rows.stop :, rows] = band[:, b:].T


def refuse_overflow(values: Tensor) -> None:
    """Raise UserError where ``values`` overflowed."""
    if not bool(torch.isfinite(values).all()):
        raise UserError("the embeddings are too large: their squares overflow; scale them down")
