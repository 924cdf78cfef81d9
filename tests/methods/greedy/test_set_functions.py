"""Gains against their definitions, and optimisers against each other and the optimum."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from method_problems import problem

from methods.greedy.class_batches import BATCHED, batched_greedy
from methods.greedy.distances import CosineDistance, CurvatureDistance, Distance, GradientDistance
from methods.greedy.optimizers import GREEDIES, lazy_greedy, naive_greedy
from methods.greedy.pairwise_matrix import CandidateRows, PairwiseMatrix
from methods.greedy.set_functions import SET_FUNCTIONS, FacilityLocation, SetFunction

CPU = torch.device("cpu")


def distance_of(kind: str, n: int = 24, seed: int = 0) -> Distance:
    """A distance over random features, two of which are duplicates."""
    features = problem(n=n, seed=seed).features
    features = features.subset(torch.tensor([*range(n - 1), 0]))
    kinds = {"worst": lambda: CurvatureDistance(features, 0.05, 6), "cosine": lambda: CosineDistance(features)}
    return kinds.get(kind, lambda: GradientDistance(features))()


def similarity(matrix: PairwiseMatrix) -> np.ndarray:
    """S [n, n] as the definitions take it."""
    return matrix.offset() - np.stack([matrix.row(i).numpy() for i in range(matrix.n)])


def value(name: str, s: np.ndarray, picked: list[int]) -> float:
    """f(A), literally."""
    if name == "FacilityLocation":
        return float(s[:, picked].max(axis=1).clip(min=0).sum()) if picked else 0.0
    if name == "GraphCut":
        inside = s[np.ix_(picked, picked)]
        return float(s[:, picked].sum() - inside.sum() + np.trace(inside))
    return float(np.linalg.slogdet(s[np.ix_(picked, picked)])[1]) if picked else 0.0


@pytest.mark.parametrize("memory_budget", [None, 1], ids=["held", "on demand"])
@pytest.mark.parametrize("name", SET_FUNCTIONS)
def test_gains_are_differences_of_the_function(name, memory_budget):
    matrix = PairwiseMatrix(CosineDistance(problem(n=12, d=9).features), memory_budget)
    s = similarity(matrix)
    function = SET_FUNCTIONS[name](matrix)
    picked: list[int] = []
    for pick in (3, 7, 1, 10):
        gains = function.all_gains()
        for j in set(range(12)) - set(picked):
            expected = value(name, s, [*picked, j]) - value(name, s, picked)
            if name == "GraphCut":  # the definition's gain counts a sample's similarity to itself once more
                expected = s[:, j].sum() - 2 * s[picked, j].sum()
            assert float(gains[j]) == pytest.approx(expected, rel=1e-8, abs=1e-9)
            assert float(function.gains(torch.tensor([j]))[0]) == pytest.approx(expected, rel=1e-8, abs=1e-9)
        function.add(pick)
        picked.append(pick)


SUBMODULAR = [  # an offset less a distance need not be positive definite, as the log-determinant wants it
    *((name, kind) for name in ("FacilityLocation", "GraphCut") for kind in ("worst", "cosine", "grad_l2")),
    ("LogDeterminant", "cosine"),
]


@pytest.mark.parametrize(("name", "kind"), SUBMODULAR)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_lazy_greedy_picks_what_naive_greedy_picks_held_and_on_demand(name, kind, dtype):
    distance = distance_of(kind)
    distance.dtype = dtype
    picks = [
        greedy(SET_FUNCTIONS[name](PairwiseMatrix(distance, budget)), 12).indices.tolist()
        for greedy in (naive_greedy, lazy_greedy)
        for budget in (None, 1)
    ]
    assert picks[0] == picks[1] == picks[2] == picks[3]


@pytest.mark.parametrize("greedy", GREEDIES)
@pytest.mark.parametrize("name", SET_FUNCTIONS)
def test_every_optimiser_meets_its_budget_once_and_repeatably(name, greedy):
    def pick(budget: int) -> list[int]:
        return GREEDIES[greedy](SET_FUNCTIONS[name](PairwiseMatrix(distance_of("cosine"))), budget, 3).indices.tolist()

    for budget in (1, 9, 24):
        picks = pick(budget)
        assert len(set(picks)) == len(picks) == budget
        assert picks == pick(budget)


def test_approximate_lazy_greedy_ends_on_negative_gains_and_stays_near():
    matrix = PairwiseMatrix(distance_of("cosine"))
    picks = GREEDIES["ApproximateLazyGreedy"](SET_FUNCTIONS["GraphCut"](matrix), 24, 0)
    assert picks.gains.min() < 0
    exact = naive_greedy(FacilityLocation(matrix), 8)
    near = GREEDIES["ApproximateLazyGreedy"](FacilityLocation(matrix), 8, 0)
    s = similarity(matrix)
    assert value("FacilityLocation", s, near.indices.tolist()) >= 0.9 * value(
        "FacilityLocation", s, exact.indices.tolist()
    )


@pytest.mark.parametrize("seed", range(5))
def test_greedy_facility_location_is_within_1_minus_1_over_e_of_the_best(seed):
    matrix = PairwiseMatrix(distance_of("worst", n=10, seed=seed))
    s = similarity(matrix)
    best = max(value("FacilityLocation", s, list(subset)) for subset in itertools.combinations(range(10), 3))
    found = value("FacilityLocation", s, naive_greedy(FacilityLocation(matrix), 3).indices.tolist())
    assert (1 - 1 / math.e) * best <= found <= best + 1e-9


@pytest.mark.parametrize("function", BATCHED)
@pytest.mark.parametrize("memory_budget", [None, 20_000], ids=["one batch", "several batches and one by itself"])
def test_classes_batched_are_classes_by_themselves(memory_budget, function):
    distances = [distance_of("worst", n=n, seed=n) for n in (5, 24, 3, 17, 60)]
    budgets = [2, 24, 1, 5, 30]
    sizes = [[budget] for budget in budgets]
    batched = batched_greedy(distances, sizes, CPU, memory_budget, function=function)
    for distance, budget, (found,) in zip(distances, budgets, batched, strict=True):
        expected = naive_greedy(function(PairwiseMatrix(distance)), budget)
        assert found.indices.tolist() == expected.indices.tolist()
        np.testing.assert_allclose(found.gains[1:], expected.gains[1:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 100, 1 << 22])
@pytest.mark.parametrize("memory_budget", [None, 1, 9000])
def test_picks_of_classes_together_weigh_what_they_stand_for(memory_budget, at_once, monkeypatch):
    monkeypatch.setattr("methods.greedy.class_batches.MINIMA_AT_ONCE", at_once)
    distances, sizes = [distance_of("worst", n=n) for n in (12, 30, 21)], [[2, 5], [9], [1, 7, 3]]
    found = batched_greedy(distances, sizes, CPU, memory_budget, weighted=True)
    for distance, of_class, coresets in zip(distances, sizes, found, strict=True):
        matrix = PairwiseMatrix(distance)
        for size, coreset in zip(of_class, coresets, strict=True):
            assert coreset.indices.tolist() == naive_greedy(FacilityLocation(matrix), size).indices.tolist()
            rows = torch.stack([matrix.row(int(pick)) for pick in coreset.indices])  # [k, n]
            owners = rows.argmin(dim=0)  # of equals the first
            assert coreset.weights.tolist() == owners.bincount(minlength=size).tolist()


class Counting(SetFunction):
    """Facility location that counts the gains it is asked for."""

    def __init__(self, inner: FacilityLocation) -> None:
        self.inner, self.asked = inner, 0
        self.matrix, self.offset, self.n, self.device = inner.matrix, inner.offset, inner.n, inner.device
        self.tolerance, self.monotone = inner.tolerance, inner.monotone

    def gains(self, candidates: torch.Tensor) -> torch.Tensor:
        self.asked += len(candidates)
        return self.inner.gains(candidates)

    def all_gains(self) -> torch.Tensor:
        self.asked += self.n
        return self.inner.all_gains()

    def add(self, candidate: int) -> None:
        self.inner.add(candidate)


def test_lazy_greedy_asks_for_far_fewer_gains():
    counts = {}
    for greedy in (naive_greedy, lazy_greedy):
        function = Counting(FacilityLocation(PairwiseMatrix(distance_of("worst", n=300))))
        greedy(function, 40)
        counts[greedy] = function.asked
    assert counts[lazy_greedy] < counts[naive_greedy] / 3


@pytest.mark.parametrize(("greedy", "distinct"), [("LazyGreedy", 1), ("LazyGreedy", 5), ("ApproximateLazyGreedy", 1)])
def test_candidates_that_gain_nothing_are_taken_in_order_without_asking_for_every_gain(distinct, greedy):
    features = problem(n=300).features.subset(torch.arange(300) % distinct)
    distance = GradientDistance(features)
    function = Counting(FacilityLocation(PairwiseMatrix(distance)))
    picks = GREEDIES[greedy](function, 100, 0).indices.tolist()
    assert picks[distinct:] == sorted(set(range(300)) - set(picks[:distinct]))[: 100 - distinct]
    assert function.asked < 300 * (distinct + 4)
    if greedy == "LazyGreedy":
        assert picks == naive_greedy(FacilityLocation(PairwiseMatrix(distance)), 100).indices.tolist()


@pytest.mark.parametrize("memory_budget", [None, 0, 4000], ids=["held", "on demand", "pairs kept"])
@pytest.mark.parametrize("greedy", ["NaiveGreedy", "LazyGreedy"])
def test_facility_location_of_candidates_for_other_samples(memory_budget, greedy):
    """Picks among the last 9 of 24 samples stand for the first 15."""
    distance = distance_of("worst", 24)
    rows = CandidateRows(distance, 15, None if memory_budget is None else distance.nbytes + memory_budget)
    assert (rows.held is None) == (memory_budget is not None)
    away = distance.exact(slice(15, 24), slice(0, 15)).numpy()
    nearest, picks = np.full(15, away.max()), []
    for _ in range(5):
        gains = np.maximum(0, nearest - away).sum(axis=1)
        picks.append(int(np.flatnonzero(gains >= gains.max() - 1e-9)[0]))
        nearest = np.minimum(nearest, away[picks[-1]])
    found = GREEDIES[greedy](FacilityLocation(rows), 5, 0)
    assert found.indices.tolist() == picks
    assert found.gains.sum() == pytest.approx(15 * away.max() - nearest.sum())
