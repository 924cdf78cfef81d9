"""The pairs that later picks need, collected from a matrix too large to hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import problem

from methods.close_pairs import ClosePairs
from methods.distances import CurvatureDistance
from methods.greedy import lazy_greedy, naive_greedy
from methods.matrix import PairwiseMatrix
from methods.set_functions import FacilityLocation

PAIR_BYTES = 4 + 8
AMPLE = 10**6


@settings(deadline=None, max_examples=40)
@given(n=st.integers(3, 40), seed=st.integers(0, 10**6), share=st.floats(0, 1), at_once=st.integers(1, 9))
def test_savings_and_lowering_are_those_of_the_dense_matrix(n, seed, share, at_once):
    matrix = PairwiseMatrix(CurvatureDistance(problem(n=n, seed=seed).features, 0.05, 9), memory_budget=1)
    matrix.rows_at_once = min(at_once, matrix.rows_at_once)
    dense = matrix.distance.exact(slice(0, n), slice(0, n))
    limits = dense.quantile(share, dim=1)
    pairs = ClosePairs.within(matrix, limits, AMPLE)
    assert len(pairs.samples) == int((dense < limits).sum())
    nearest = torch.minimum(limits, dense[n // 2])
    expected = (nearest - dense).clamp(min=0).sum(dim=1)
    torch.testing.assert_close(pairs.savings(torch.arange(n), nearest), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(
        pairs.savings(torch.tensor([n - 1, 0]), nearest), expected[[-1, 0]], rtol=1e-12, atol=1e-13
    )
    for candidate in (0, n - 1):
        torch.testing.assert_close(pairs.lower(nearest, candidate), torch.minimum(nearest, dense[candidate]))


def test_pairs_that_exceed_their_room_are_not_kept():
    matrix = PairwiseMatrix(CurvatureDistance(problem(n=50).features, 0.05, 9), memory_budget=1)
    dense = matrix.distance.exact(slice(0, 50), slice(0, 50))
    limits = dense.quantile(0.5, dim=1)
    needed = int((dense < limits).sum()) * PAIR_BYTES
    assert ClosePairs.within(matrix, limits, needed) is not None
    assert ClosePairs.within(matrix, limits, needed - 1) is None


@pytest.mark.parametrize("greedy", [naive_greedy, lazy_greedy])
def test_a_selection_that_turns_to_close_pairs_picks_what_a_held_matrix_gives(greedy):
    distance = CurvatureDistance(problem(n=200, d=7).features, 0.05, 9)
    held = greedy(FacilityLocation(PairwiseMatrix(distance)), 100)
    function = FacilityLocation(PairwiseMatrix(distance, memory_budget=60_000))
    assert function.matrix.held is None
    picks = greedy(function, 100)
    assert function.close is not None
    assert len(function.close.samples) * PAIR_BYTES <= 30_000
    np.testing.assert_array_equal(picks.indices, held.indices)
    np.testing.assert_allclose(picks.gains, held.gains, rtol=1e-9, atol=1e-12)
