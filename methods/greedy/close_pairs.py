"""Squared distances of pairs so close together that the difference of large products would cancel.

With x = r ⊗ v, Δ and Σ the difference and the sum of two samples' factors,
‖x_i − x_j‖² = ¼(‖Δr‖²‖Σv‖² + ‖Σr‖²‖Δv‖² + 2⟨Δr, Σr⟩⟨Δv, Σv⟩), which takes differences before it squares them. A few
pairs are taken one by one. Where many are close to one sample, as copies with noise are, the factors less those of that
sample are small, and their products give Δ of all pairs at the speed of a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CANCELLATION = 1e-6  # squared distances below this share of the squared norms behind them are not exact enough
_MANY = 48  # close pairs of a row that are worth a matrix product
_SHARE = 1 / 16  # of the pairs in a matrix product that must be close for it to be worth it
_VALUES_AT_ONCE = 1 << 20  # of a factor of many samples
_CACHED_VALUES = 1 << 15  # the same on a CPU for pairs taken one by one


def settle(squared: Tensor, close: Tensor, rows: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> None:
    """Replace the squared distances of close pairs by exact ones, in place; of a sample to itself by 0.

    Args:
        squared: float64 [r, c].
        close: which are to be replaced, bool [r, c]; its content is lost.
        rows: samples, int64 [r].
        columns: samples, int64 [c].
        left: r of every sample, float64 [n, C].
        right: v of every sample, float64 [n, D].
    """
    if squared.device.type != "cpu" and not bool((close & (rows[:, None] != columns)).any()):
        squared.masked_fill_(close, 0.0)  # samples and themselves alone, as usual: known for one wait
        return
    counts = close.sum(dim=1, dtype=torch.int32)  # [r]
    while int(counts.max()) >= _MANY:
        centre = int(counts.argmax())
        for near in close[centre].nonzero()[:, 0].split(max(1, _VALUES_AT_ONCE // right.shape[1])):
            there = close.index_select(1, near)  # [r, b]
            alike = (there.sum(dim=1, dtype=torch.int32) >= _SHARE * len(near)).nonzero()[:, 0]  # [a]
            exact, sure = _around(rows[centre], rows[alike], columns[near], left, right)  # [a, b] each
            sure &= there.index_select(0, alike)
            i, j = (~sure).nonzero(as_tuple=True)
            rest = alike[i], near[j]
            exact[i, j] = squared[rest]
            squared[alike[:, None], near] = exact
            close[alike[:, None], near] = False
            close[rest] = there[alike[i], j]
            counts[alike] -= sure.sum(dim=1, dtype=torch.int32)
        counts[centre] = 0
    i, j = close.nonzero(as_tuple=True)
    squared[i, j] = _one_by_one(rows[i], columns[j], left, right)


def _around(centre: Tensor, i: Tensor, j: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distances between the samples i and j, [a, b], and which of them are exact, bool [a, b].

    With the differences d from the ``centre`` and q = ‖v‖² − ‖v_centre‖² = ⟨d, 2 v_centre + d⟩, either factor has
    ‖Δ‖² = ‖d_i‖² + ‖d_j‖² − 2⟨d_i, d_j⟩, ⟨Δ, Σ⟩ = q_i − q_j and ‖Σ‖² = 2(‖v_i‖² + ‖v_j‖²) − ‖Δ‖².
    """
    r_i, r_j, v_i, v_j = (_Relative.of(factor[these], factor[centre]) for factor in (left, right) for these in (i, j))
    dr2, dv2 = r_i.squared_distances(r_j), v_i.squared_distances(v_j)  # [a, b] each
    squared = (r_i.excess[:, None] - r_j.excess).mul_(v_i.excess[:, None] - v_j.excess)
    squared.addcmul_(dr2, torch.add(v_i.norm[:, None], v_j.norm).sub_(dv2))
    squared.addcmul_(dv2, torch.add(r_i.norm[:, None], r_j.norm))
    squared.div_(2).clamp_(min=0)
    r_most, v_most = (2 * torch.cat([a.norm, b.norm]).amax() for a, b in ((r_i, r_j), (v_i, v_j)))
    needed = [CANCELLATION * (r.size * v_most + v.size * r_most) for r, v in ((r_i, v_i), (r_j, v_j))]
    return squared, squared >= torch.add(needed[0][:, None], needed[1])


@dataclass(frozen=True, eq=False)
class _Relative:
    """A factor of m samples, relative to that of a centre.

    Attributes:
        difference: d, [m, D].
        size: ‖d‖², [m].
        excess: ‖v‖² − ‖v_centre‖², [m].
        norm: ‖v‖², [m].
    """

    difference: Tensor
    size: Tensor
    excess: Tensor
    norm: Tensor

    @classmethod
    def of(cls, factor: Tensor, centre: Tensor) -> _Relative:
        """Return the rows of ``factor`` [m, D] relative to ``centre`` [D]."""
        difference = factor - centre
        size = torch.linalg.vector_norm(difference, dim=1).square()
        excess = size + 2 * (difference @ centre)
        return cls(difference, size, excess, excess + centre @ centre)

    def squared_distances(self, other: _Relative) -> Tensor:
        """Return the squared distance of every pair, [m, other's m]."""
        sizes = torch.add(self.size[:, None], other.size)
        return sizes.addmm_(self.difference, other.difference.T, alpha=-2).clamp_(min=0)


def _one_by_one(i: Tensor, j: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the squared distances of the pairs (i, j), int64 [m] each, float64 [m]; 0 where i = j."""
    squared = left.new_zeros(len(i))
    values = _CACHED_VALUES if left.device.type == "cpu" else _VALUES_AT_ONCE
    for pairs in (i != j).nonzero()[:, 0].split(max(1, values // right.shape[1])):
        a, b = i[pairs], j[pairs]
        (dr2, sr2, r_mixed), (dv2, sv2, v_mixed) = (_products(factor[a], factor[b]) for factor in (left, right))
        squared[pairs] = (dr2 * sv2 + sr2 * dv2 + 2 * r_mixed * v_mixed).clamp_(min=0) / 4
    return squared


def _products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ‖a − b‖², ‖a + b‖² and ⟨a − b, a + b⟩ of rows, [m] each."""
    difference, total = a - b, a + b
    squares = [torch.linalg.vector_norm(each, dim=1).square() for each in (difference, total)]
    return squares[0], squares[1], difference.mul_(total).sum(dim=1)
