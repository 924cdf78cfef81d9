"""The pairs that later picks need of a matrix too large to hold, and the selection from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import problem
from torch import Tensor

from methods.greedy.distances import CurvatureDistance
from methods.greedy.optimizers import GREEDIES
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.greedy.row_cache import ClosePairs, RowCache
from methods.greedy.set_functions import FacilityLocation
from utils.data.coreset import Coreset

CPU = torch.device("cpu")
PAIR_BYTES = 4 + 8
AMPLE = 10**6


def distances(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> CurvatureDistance:
    distance = CurvatureDistance(problem(n=n, d=7, seed=seed).features, 0.05, 9)
    distance.dtype = dtype
    return distance


def dense(n: int, seed: int = 0) -> Tensor:
    return distances(n, seed).exact(slice(0, n), slice(0, n))


def assert_saves(pairs: ClosePairs, candidates: Tensor, matrix: Tensor, nearest: Tensor) -> None:
    """Savings and lowering are those of the whole ``matrix``."""
    expected = (nearest - matrix[candidates]).clamp(min=0).sum(dim=1)
    torch.testing.assert_close(pairs.savings(candidates, nearest), expected, rtol=1e-12, atol=1e-13)
    for candidate in candidates.tolist():
        torch.testing.assert_close(pairs.lower(nearest, candidate), torch.minimum(nearest, matrix[candidate]))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(3, 40), seed=st.integers(0, 10**6), share=st.floats(0, 1), at_once=st.integers(1, 9))
def test_savings_and_lowering_are_those_of_the_dense_matrix(n, seed, share, at_once):
    matrix = dense(n, seed)
    limits = matrix.quantile(share, dim=1)
    pairs = ClosePairs(n, torch.float64, CPU, AMPLE, at_once)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for part in order[1:].split(at_once):
        pairs.keep(part, matrix[part], limits)
    assert pairs.unknown().tolist() == order[:1].tolist()
    assert pairs.filled == int((matrix[order[1:]] < limits).sum())
    assert_saves(pairs, order[1:], matrix, torch.minimum(limits, matrix[n // 2]))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(6, 40), seed=st.integers(0, 10**6), at_once=st.integers(1, 9))
def test_what_picks_made_superfluous_gives_way_to_new_pairs(n, seed, at_once):
    matrix = dense(n, seed)
    first, later = torch.arange(n // 2), torch.arange(n // 2, n)
    before = matrix.quantile(0.8, dim=1)
    after = matrix.quantile(0.3, dim=1)
    needed = int((matrix < after).sum())
    pairs = ClosePairs(n, torch.float64, CPU, max(needed, int((matrix[first] < before).sum())) * PAIR_BYTES, at_once)
    pairs.keep(first, matrix[first], before)
    assert_saves(pairs, first, matrix, before)
    for part in later.split(at_once):
        pairs.keep(part, matrix[part], after)
    assert not len(pairs.unknown())
    assert_saves(pairs, torch.arange(n), matrix, after)
    assert_saves(pairs, torch.arange(n), matrix, matrix.quantile(0.1, dim=1))


def test_candidates_without_pairs_do_not_shift_those_of_others():
    """Kept before another of a lower index, and in another share of what is moved."""
    matrix = torch.full((4, 4), 9.0, dtype=torch.float64)
    matrix[0, :3], matrix[1, :2], matrix[3, 1:] = torch.tensor([1.0, 2, 8]), torch.tensor([3.0, 4]), 5.0
    limits = torch.full((4,), 8.5, dtype=torch.float64)
    pairs = ClosePairs(4, torch.float64, CPU, 9 * PAIR_BYTES, rows_at_once=2)
    for candidate in ([0], [2], [1], [3]):
        pairs.keep(torch.tensor(candidate), matrix[candidate], limits)
    assert pairs.filled == 8
    nearest = torch.full((4,), 7.0, dtype=torch.float64)
    pairs.keep(torch.tensor([2]), matrix[[0]], nearest)
    assert pairs.filled == 7 + 2
    matrix[2] = matrix[0]
    assert_saves(pairs, torch.arange(4), matrix, nearest)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(6, 30), seed=st.integers(0, 10**6), at_once=st.integers(1, 5), share=st.floats(0.1, 1))
def test_savings_stay_exact_while_picks_are_made_and_pairs_dropped(n, seed, at_once, share):
    """Random candidates are asked for again and again; picks leave some with no pairs at all."""
    random = np.random.default_rng(seed)
    matrix = dense(n, seed)
    matrix[:, 1], matrix[1] = matrix[:, 0], matrix[0]  # a copy
    matrix[1, 1] = 0
    pairs = ClosePairs(n, torch.float64, CPU, round(share * n * n) * PAIR_BYTES, at_once)
    nearest = matrix[random.integers(n)]
    for _ in range(6):
        asked = torch.from_numpy(random.permutation(n)[: n // 2])
        for part in asked[~pairs.known(asked)].split(at_once):
            pairs.keep(part, matrix[part], nearest)
        known = (pairs.lengths >= 0).nonzero()[:, 0]
        assert_saves(pairs, known, matrix, nearest)
        nearest = torch.minimum(nearest, matrix[random.integers(n)])
        assert_saves(pairs, known, matrix, nearest)


def test_pairs_that_exceed_their_room_are_not_kept():
    matrix = dense(50)
    limits = matrix.quantile(0.5, dim=1)
    everyone = torch.arange(50)
    needed = int((matrix < limits).sum()) * PAIR_BYTES
    for room, unknown in ((needed, 0), (needed - 1, 50)):
        pairs = ClosePairs(50, torch.float64, CPU, room, 50)
        pairs.keep(everyone, matrix, limits)
        assert len(pairs.unknown()) == unknown
        assert len(pairs.samples) * 4 + len(pairs.distances) * 8 <= room


class CountingDistance(CurvatureDistance):
    """Counts how often each row is computed by itself."""

    def __init__(self, n: int) -> None:
        super().__init__(problem(n=n, d=7).features, 0.05, 9)
        self.counts = np.zeros(n, dtype=int)

    def block(self, rows, columns, scratch):
        if isinstance(rows, Tensor):
            np.add.at(self.counts, rows.numpy(), 1)
        return super().block(rows, columns, scratch)


def select(distance: CurvatureDistance, greedy: str, memory_budget: int | None, budget: int) -> Coreset:
    return GREEDIES[greedy](FacilityLocation(PairwiseMatrix(distance, memory_budget)), budget, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory_budget", [400_000, 80_000, 1], ids=["all pairs fit", "some fit", "none fit"])
@pytest.mark.parametrize("greedy", GREEDIES)
def test_a_selection_on_demand_picks_what_a_held_matrix_gives(greedy, memory_budget, dtype):
    distance = distances(200, dtype=dtype)
    assert PairwiseMatrix(distance, memory_budget).held is None
    held, found = (select(distance, greedy, room, 100) for room in (None, memory_budget))
    np.testing.assert_array_equal(found.indices, held.indices)
    np.testing.assert_allclose(found.gains, held.gains, rtol=1e-6, atol=float(distance.rounding))


@pytest.mark.parametrize("greedy", ["LazyGreedy", "NaiveGreedy"])
def test_each_row_is_computed_once_where_its_pairs_fit(greedy):
    distance = CountingDistance(200)
    select(distance, greedy, 200 * 200 * 8, 100)
    first = distance.counts.argmax()  # the first pick's row tells what is close
    assert distance.counts[first] == 2
    assert np.delete(distance.counts, first).max() == 1


def test_rows_asked_for_one_by_one_are_completed_before_they_cost_more():
    distance = CountingDistance(200)
    matrix = PairwiseMatrix(distance, 200 * 200 * 8 - 1)
    rows = RowCache(matrix)
    nearest = matrix.row(0)
    calls = 0
    while len(rows.pairs.unknown()):
        rows.savings(rows.pairs.unknown()[:1], nearest)
        calls += 1
    assert calls == pytest.approx(200 / matrix.batch, abs=2)
    assert distance.counts.sum() == 201
