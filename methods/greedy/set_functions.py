"""Functions of a set that greedy optimisers maximise.

A set function and an optimiser know only this of each other: ``gains`` and ``add``, and the ``tolerance``
within which two gains count as tied, so that rounding never decides a pick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.greedy.row_cache import RowCache
from methods.tie_breaking import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE

_LEAST_VARIANCE = 1e-12  # of the largest


class SetFunction(ABC):
    """A set function at a growing set A ⊆ {0 … n − 1}, similarities being S_ij = offset − D_ij.

    Args:
        matrix: the distances D.
        offset: at least the largest of them; None: the matrix's own.

    Attributes:
        tolerance: a bound on the difference that rounding makes between equal gains.
        monotone: whether no gain is ever negative.
    """

    tolerance: float
    monotone = False

    def __init__(self, matrix: PairwiseMatrix, offset: float | None = None) -> None:
        self.matrix = matrix
        self.offset = matrix.offset() if offset is None else offset
        self.n, self.device = matrix.n, matrix.device

    @abstractmethod
    def gains(self, candidates: Tensor) -> Tensor:
        """Return the marginal gains f(A ∪ {j}) − f(A), float64 [m], of ``candidates`` (int64 [m] on the CPU)."""

    @abstractmethod
    def all_gains(self) -> Tensor:
        """Return the gains of every sample, float64 [n], a copy."""

    @abstractmethod
    def add(self, candidate: int | Tensor) -> None:
        """Add ``candidate`` to A: its index, or an int64 [1] on the device, where nothing waits to read it."""


class FacilityLocation(SetFunction):
    """f(A) = Σ_i max(0, max_{j∈A} S_ij); its gain is Σ_i max(0, S_ij − current_i).

    In distances: Σ_i max(0, nearest_i − D_ij) = Σ_i nearest_i − Σ_i min(nearest_i, D_ij), where nearest_i starts
    at the offset. The picks do not depend on it.
    """

    monotone = True

    def __init__(self, matrix: PairwiseMatrix, offset: float | None = None) -> None:
        super().__init__(matrix, offset)
        self.tolerance = matrix.rounding
        self.nearest: Tensor | None = None  # [columns]
        self.total: float | Tensor = matrix.columns * self.offset  # Σ_i nearest_i
        self.cache = RowCache(matrix) if matrix.held is None else None

    def gains(self, candidates: Tensor) -> Tensor:
        """Return the gains of ``candidates``, from sums of row minima."""
        if self.cache is not None and self.nearest is not None:
            return self.cache.savings(candidates, self.nearest)
        candidates = self.matrix.index(candidates)
        if self.nearest is None:
            return self.total - self.matrix.sums[candidates]
        rows = self.matrix.rows(candidates)
        return self.total - self.matrix.sums_of(torch.minimum(rows, self.nearest, out=rows))

    def all_gains(self) -> Tensor:
        """Return the gains of every sample, from sums of row minima."""
        if self.nearest is None:
            return self.total - self.matrix.sums
        if self.cache is not None:
            return self.cache.all_savings(self.nearest)
        return self.total - self.matrix.sums_of_minima(self.nearest)

    def add(self, candidate: int | Tensor) -> None:
        """Lower each sample's distance to its nearest pick."""
        if self.nearest is None:
            self.nearest = self.matrix.row(candidate)
        elif self.cache is not None:
            self.nearest = self.cache.lower(self.nearest, candidate)
        else:
            self.nearest = torch.minimum(self.nearest, self.matrix.row(candidate))
        self.total = self.nearest.sum(dtype=torch.float64)


class GraphCut(SetFunction):
    """gain(j) = Σ_i S_ij − 2 Σ_{s∈A} S_sj: close to everything, far from what is there already."""

    def __init__(self, matrix: PairwiseMatrix, offset: float | None = None) -> None:
        super().__init__(matrix, offset)
        self.current = self.n * self.offset - matrix.sums  # [n]
        self.tolerance = matrix.rounding + ABSOLUTE_TOLERANCE * self.n * self.offset

    def gains(self, candidates: Tensor) -> Tensor:
        """Return the gains of ``candidates``."""
        return self.current[self.matrix.index(candidates)]

    def all_gains(self) -> Tensor:
        """Return the gains of every sample."""
        return self.current.clone()

    def add(self, candidate: int | Tensor) -> None:
        """Subtract twice the similarity to the pick from every gain."""
        self.current -= 2 * (self.offset - self.matrix.row(candidate).double())


class LogDeterminant(SetFunction):
    """f(A) = log det S_AA; its gain is log(S_xx − S_xA S_AA⁻¹ S_Ax), by a Cholesky factor that grows a row a pick.

    A residual variance that rounding or an indefinite S takes to zero counts as the smallest that is positive,
    and explains nothing of the others. The factor takes 8kn bytes for k picks, whatever the memory budget.
    """

    tolerance = RELATIVE_TOLERANCE

    def __init__(self, matrix: PairwiseMatrix, offset: float | None = None) -> None:
        super().__init__(matrix, offset)
        self.variances = self.offset - matrix.distance.diagonal()  # [n]
        self.floor = max(_LEAST_VARIANCE * float(self.variances.max()), torch.finfo(torch.float64).tiny)
        self.size = 0
        self.factor = torch.empty(16, self.n, dtype=torch.float64, device=self.device)  # [room, n]

    def gains(self, candidates: Tensor) -> Tensor:
        """Return the gains of ``candidates``: the logarithms of their residual variances."""
        return self.variances[self.matrix.index(candidates)].clamp(min=self.floor).log()

    def all_gains(self) -> Tensor:
        """Return the gains of every sample: the logarithms of their residual variances."""
        return self.variances.clamp(min=self.floor).log()

    def add(self, candidate: int | Tensor) -> None:
        """Add a row to the Cholesky factor, and lower the residual variances."""
        if self.size == len(self.factor):
            self.factor = torch.cat([self.factor, torch.empty_like(self.factor)])  # [2 · room, n]
        known = self.factor[: self.size]
        own = self.matrix.index(candidate)  # [1]
        variance = self.variances[own]  # [1]
        similarity = self.offset - self.matrix.row(candidate).double()  # [n]
        row = (similarity - known.index_select(1, own)[:, 0] @ known) / variance.clamp(min=self.floor).sqrt()  # [n]
        row *= variance > self.floor
        self.factor[self.size] = row
        self.size += 1
        self.variances = self.variances - row.square()


SET_FUNCTIONS: dict[str, type[SetFunction]] = {
    "FacilityLocation": FacilityLocation,
    "GraphCut": GraphCut,
    "LogDeterminant": LogDeterminant,
}
