"""Distances between samples from the factors of their last-layer derivatives, exact and in bounded memory.

Nothing of size n × C(d + 1) or n × n × K is ever built. Products of gradients cancel: they are taken in float64, and a
distance small beside its gradients is computed again from explicit differences, so that duplicates lie at exactly 0.
Curvatures, whose differences do not cancel, are compared in the dtype of the embeddings, in which results come too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from methods.features import Features
from methods.greedy.close_pairs import CANCELLATION, settle
from methods.greedy.manhattan import add_manhattan
from nets.last_layer import augment, hessian_at, hessian_coordinates, probabilities, read_finite, residuals
from utils.tensor_memory import Scratch

_LANES = 8  # values that a processor takes at once; other numbers of coordinates are slow
_ROUNDING = 1e-13  # of a row's sum, as a share of the norms behind it


class Distance(ABC):
    """A symmetric, non-negative n × n matrix whose blocks are computed on demand.

    Attributes:
        n: number of samples.
        dtype: of the values returned.
        device: where they are computed.
        rounding: a bound on the rounding error of the sum of a row, float64 [].
        checked: single values that are finite unless something overflows, which ``read`` looks at.
        offset: similarities are this less the distance; None: the largest distance.
    """

    offset: float | None = None

    def __init__(
        self, n: int, dtype: torch.dtype, device: torch.device, rounding: Tensor, checked: Sequence[Tensor] = ()
    ) -> None:
        self.n, self.dtype, self.device, self.rounding, self.checked = n, dtype, device, rounding, list(checked)

    @property
    def nbytes(self) -> int:
        """Return the bytes that the factors take."""
        return sum(each.nbytes for each in vars(self).values() if isinstance(each, Tensor))

    @abstractmethod
    def block(self, rows: Tensor | slice, columns: Tensor | slice, scratch: Scratch) -> Tensor:
        """Return the block at the given indices (int64 [r] and [c], or slices), float64 [r, c].

        It lies in the first of ``scratch``'s two blocks until that is used again; the second is free.
        """

    def exact(self, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
        """Return the block at the given indices in memory of its own, float64 [r, c].

        Raises:
            UserError: distances that overflow.
        """
        self.read()
        everything = torch.arange(self.n, device=self.device)
        return self.block(rows, columns, Scratch(len(everything[rows]) * len(everything[columns]), self.device))

    def read(self, *values: Tensor) -> list[float]:
        """Return ``rounding`` and single ``values``, waiting for the device once.

        Raises:
            UserError: distances that overflow, or a value that is not finite.
        """
        return read_finite(self.rounding, *values, *self.checked)[: 1 + len(values)]

    def diagonal(self) -> Tensor:
        """Return the distance of every sample to itself, float64 [n]."""
        return torch.zeros(self.n, dtype=torch.float64, device=self.device)

    def triangle(self, rows_at_once: int, scratch: Scratch, roomy: bool = False) -> Iterator[tuple[slice, Tensor]]:
        """Yield every pair once: bands of rows, each with its distances to all samples from its own first one on.

        Args:
            rows_at_once: rows in a band.
            scratch: where the bands are made.
            roomy: whether there is memory for half a matrix beside it.

        Yields:
            rows, and float64 [r, n − rows.start], of which the first r columns are symmetric; it lies in ``scratch``.
        """
        for start in range(0, self.n, rows_at_once):
            rows = slice(start, min(start + rows_at_once, self.n))
            yield rows, symmetric(self.block(rows, slice(start, self.n), scratch))


class OuterDistance(Distance):
    """‖r_i ⊗ v_i − r_j ⊗ v_j‖₂ from the factors r [n, C] and v [n, D], both float64.

    The square is ‖r_i‖²‖v_i‖² + ‖r_j‖²‖v_j‖² − 2⟨r_i, r_j⟩⟨v_i, v_j⟩.
    """

    def __init__(self, left: Tensor, right: Tensor, dtype: torch.dtype) -> None:
        self.left, self.right = left, right
        squares = [torch.linalg.vector_norm(factor, dim=1).square() for factor in (left, right)]  # [n] each
        self.squared_norms = squares[0] * squares[1]  # [n]
        rounding = _ROUNDING * self.squared_norms.sqrt().sum()
        super().__init__(len(left), dtype, left.device, rounding, [16 * self.squared_norms.sum()])

    def block(self, rows: Tensor | slice, columns: Tensor | slice, scratch: Scratch) -> Tensor:
        """Return the block from products of factors, small distances from explicit differences."""
        products, other = products_of_factors(self.left, self.right, rows, columns, scratch)
        norms = torch.add(self.squared_norms[rows, None], self.squared_norms[columns], out=other)  # [r, c]
        squared = torch.sub(norms, products, alpha=2, out=products)
        close = squared < norms.mul_(CANCELLATION)
        everything = torch.arange(self.n, device=self.device)
        settle(squared, close, everything[rows], everything[columns], self.left, self.right)
        return squared.sqrt_()


class GradientDistance(OuterDistance):
    """‖g_i − g_j‖₂ of the per-sample last-layer gradients g = (p − y) ⊗ ẑ."""

    def __init__(self, features: Features) -> None:
        z = features.embeddings
        super().__init__(residuals(features.logits, features.labels), augment(z), z.dtype)


class CurvatureDistance(GradientDistance):
    """D_ij = ‖g_i − g_j‖₂ + eps · Σ_{k∈K} |h_ik − h_jk| (LCMat-S, Shin et al. 2023).

    K holds the ``num_dims`` coordinates of the Hessian diagonal with the largest variance over these samples, unless
    the features say which.
    """

    def __init__(self, features: Features, eps: float, num_dims: int) -> None:
        super().__init__(features)
        z, f, coordinates = features.embeddings, features.logits, features.coordinates
        h = eps * (hessian_coordinates(z, f, num_dims) if coordinates is None else hessian_at(z, f, coordinates))
        total = h.sum()
        self.checked += [total, h.amax().to(self.dtype)]
        self.rounding += _ROUNDING / 100 * total  # no cancellation in these
        h = h.to(self.dtype)  # [n, K]
        self.weighted_curvature = torch.nn.functional.pad(h, (0, -h.shape[1] % _LANES))  # [n, K or a few more]

    def block(self, rows: Tensor | slice, columns: Tensor | slice, scratch: Scratch) -> Tensor:
        """Return the block of gradient distances plus L1 distances between weighted curvatures."""
        h = self.weighted_curvature
        return add_manhattan(super().block(rows, columns, scratch), h[rows], h[columns])

    def triangle(self, rows_at_once: int, scratch: Scratch, roomy: bool = False) -> Iterator[tuple[slice, Tensor]]:
        """Yield the same bands; on a CPU with memory to spare, from torch's fast condensed L1 distances."""
        if not roomy or self.device.type != "cpu":
            yield from super().triangle(rows_at_once, scratch)
            return
        condensed = torch.pdist(self.weighted_curvature, p=1).numpy()  # [n(n − 1)/2], row after row
        for start in range(0, self.n, rows_at_once):
            rows = slice(start, min(start + rows_at_once, self.n))
            band = super().block(rows, slice(start, self.n), scratch)
            for i, row in enumerate(band.numpy(), start):
                at = i * (2 * self.n - i - 1) // 2
                row[i - start + 1 :] += condensed[at : at + self.n - 1 - i]
            yield rows, symmetric(band)


class AdaCoreDistance(OuterDistance):
    """‖ĝ_i − ĝ_j‖₂ of gradients divided by their Hessian diagonal (AdaCore, Pooladzandi et al. 2022).

    The diagonal is damped factor by factor, ĝ = (p − y) / (s + δ) ⊗ ẑ / (ẑ² + δ) with s = p(1 − p), so that it
    stays a product of factors.
    """

    def __init__(self, features: Features, damping: float = 1e-2) -> None:
        p, v = probabilities(features.logits), augment(features.embeddings)
        left = residuals(features.logits, features.labels) / (p * (1 - p) + damping)
        super().__init__(left, v / (v.square() + damping), features.embeddings.dtype)


class CosineDistance(Distance):
    """½ − ½cos(g_i, g_j); the cosine with a zero gradient counts as 0. One minus it is a similarity."""

    offset = 1.0

    def __init__(self, features: Features) -> None:
        n, z = len(features), features.embeddings
        super().__init__(n, z.dtype, z.device, torch.full((), _ROUNDING * n, dtype=torch.float64, device=z.device))
        self.left, self.right = directions(residuals(features.logits, features.labels)), directions(augment(z))

    def block(self, rows: Tensor | slice, columns: Tensor | slice, scratch: Scratch) -> Tensor:
        """Return the block from products of directions."""
        cosine, _ = products_of_factors(self.left, self.right, rows, columns, scratch)
        return cosine.neg_().add_(1).clamp_(min=0).div_(2)

    def diagonal(self) -> Tensor:
        """Return 0, and ½ for zero gradients, float64 [n]."""
        return torch.where(self.left.any(dim=1), 0.0, 0.5).double()


def products_of_factors(
    left: Tensor, right: Tensor, rows: Tensor | slice, columns: Tensor | slice, scratch: Scratch
) -> tuple[Tensor, Tensor]:
    """Return ⟨l_i, l_j⟩⟨r_i, r_j⟩ in the first of ``scratch``'s blocks, and the second, which is free; [r, c] each.

    Args:
        left: l, float64 [n, C].
        right: r, float64 [n, D].
        rows: i, int64 [r] or a slice.
        columns: j, int64 [c] or a slice.
        scratch: room for two blocks.
    """
    products, free = scratch.pair(len(left[rows]), len(left[columns]))
    torch.mm(right[rows], right[columns].T, out=products)
    products *= torch.mm(left[rows], left[columns].T, out=free)
    return products, free


def directions(vectors: Tensor) -> Tensor:
    """Return ``vectors`` [n, d] scaled to length 1, without overflow or underflow; zero vectors stay zero."""
    largest = vectors.abs().amax(dim=1, keepdim=True)  # [n, 1]
    return torch.nn.functional.normalize(vectors / largest.clamp(min=torch.finfo(vectors.dtype).tiny))


def symmetric(band: Tensor) -> Tensor:
    """Return ``band`` [r, c], its first r columns made symmetric in place from their upper triangle."""
    square = band[:, : len(band)]  # [r, r]
    above = square.triu(1)
    square.triu_().add_(above.T)
    return band
