"""Functions of a set that greedy optimisers maximise.

A set function and an optimiser know only this of each other: ``gains`` and ``add``, and the ``tolerance``
within which two gains count as tied, so that rounding never decides a pick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from methods.matrix import PairwiseMatrix

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-12


class SetFunction(ABC):
    """A set function at a growing set A ⊆ {0 … n − 1}, similarities being S_ij = offset − D_ij."""

    def __init__(self, matrix: PairwiseMatrix, offset: float) -> None:
        self.matrix, self.offset = matrix, offset
        self.n, self.device = matrix.n, matrix.device

    @abstractmethod
    def gains(self, candidates: Tensor) -> Tensor:
        """The marginal gains f(A ∪ {j}) − f(A), float64 [m], of ``candidates`` (int64 [m])."""

    @abstractmethod
    def add(self, candidate: int) -> None:
        """A ← A ∪ {candidate}."""

    @abstractmethod
    def scale(self) -> float:
        """The size of the sums that gains are differences of; their rounding is a share of it."""

    def all_gains(self) -> Tensor:
        """The gains of every sample, float64 [n]."""
        return torch.cat([self.gains(band) for band in self.matrix.bands()])

    def tolerance(self, gain: float) -> float:
        """Gains this close to ``gain`` are tied with it."""
        return RELATIVE_TOLERANCE * abs(gain) + ABSOLUTE_TOLERANCE * self.scale()


class FacilityLocation(SetFunction):
    """f(A) = Σ_i max(0, max_{j∈A} S_ij); its gain is Σ_i max(0, S_ij − current_i).

    In distances: Σ_i max(0, nearest_i − D_ij), where nearest_i starts at the offset.
    """

    def __init__(self, matrix: PairwiseMatrix, offset: float) -> None:
        super().__init__(matrix, offset)
        self.nearest = torch.full((self.n,), offset, dtype=matrix.dtype, device=self.device)
        self.empty = True

    def gains(self, candidates: Tensor) -> Tensor:
        return self._gains_of(self.matrix.rows(candidates))

    def all_gains(self) -> Tensor:
        return torch.cat([self._gains_of(self.matrix.band(band)) for band in self.matrix.bands()])

    def _gains_of(self, rows: Tensor) -> Tensor:
        if self.empty:  # no distance exceeds the offset: one sum, and no rounding against a large offset
            return self.n * self.offset - rows.sum(dim=1, dtype=torch.float64)  # [m]
        return (self.nearest - rows).clamp_(min=0).sum(dim=1, dtype=torch.float64)  # [m]

    def add(self, candidate: int) -> None:
        self.nearest = torch.minimum(self.nearest, self.matrix.row(candidate))
        self.empty = False

    def scale(self) -> float:
        return float(self.nearest.abs().sum(dtype=torch.float64))


class GraphCut(SetFunction):
    """gain(j) = Σ_i S_ij − 2 Σ_{s∈A} S_sj: close to everything, far from what is there already."""

    def __init__(self, matrix: PairwiseMatrix, offset: float) -> None:
        super().__init__(matrix, offset)
        totals = [(offset - matrix.band(band).double()).sum(dim=1) for band in matrix.bands()]
        self.totals = torch.cat(totals)  # [n]
        self.current = self.totals.clone()

    def gains(self, candidates: Tensor) -> Tensor:
        return self.current[candidates]

    def all_gains(self) -> Tensor:
        return self.current.clone()

    def add(self, candidate: int) -> None:
        self.current -= 2 * (self.offset - self.matrix.row(candidate).double())

    def scale(self) -> float:
        return float(self.totals.abs().max())


class LogDeterminant(SetFunction):
    """f(A) = log det S_AA; its gain is log(S_xx − S_xA S_AA⁻¹ S_Ax), by a Cholesky factor that grows a row a pick.

    A residual variance that rounding or an indefinite S takes to zero counts as the smallest that is positive.
    """

    def __init__(self, matrix: PairwiseMatrix, offset: float) -> None:
        super().__init__(matrix, offset)
        diagonal = torch.cat([_diagonal(matrix, band) for band in matrix.bands()])
        self.variances = offset - diagonal.double()  # [n]
        self.floor = max(float(self.variances.abs().max()), 1.0) * 1e-12
        self.size = 0
        self.factor = torch.empty(16, self.n, dtype=torch.float64, device=self.device)  # [room, n]

    def gains(self, candidates: Tensor) -> Tensor:
        return self.variances[candidates].clamp(min=self.floor).log()

    def all_gains(self) -> Tensor:
        return self.variances.clamp(min=self.floor).log()

    def add(self, candidate: int) -> None:
        if self.size == len(self.factor):
            self.factor = torch.cat([self.factor, torch.empty_like(self.factor)])  # [2 · room, n]
        known = self.factor[: self.size]
        root = self.variances[candidate].clamp(min=self.floor).sqrt()
        similarity = self.offset - self.matrix.row(candidate).double()  # [n]
        row = (similarity - known[:, candidate] @ known) / root  # [n]
        self.factor[self.size] = row
        self.size += 1
        self.variances = self.variances - row.square()

    def scale(self) -> float:
        return 1.0


def _diagonal(matrix: PairwiseMatrix, band: Tensor) -> Tensor:
    return matrix.band(band).gather(1, band[:, None])[:, 0]  # [m]


SET_FUNCTIONS: dict[str, type[SetFunction]] = {
    "FacilityLocation": FacilityLocation,
    "GraphCut": GraphCut,
    "LogDeterminant": LogDeterminant,
}
