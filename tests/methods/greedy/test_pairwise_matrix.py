"""The pairwise matrix, held and on demand, and classes side by side within one memory budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem

from methods.base import Method, PickSettings, SelectionInputs
from methods.features import Features
from methods.greedy.class_threads import pick_in_threads
from methods.greedy.distances import CosineDistance, CurvatureDistance, Distance, GradientDistance
from methods.greedy.pairwise_matrix import PairwiseMatrix, allowance, held_bytes, roomy_bytes
from methods.greedy.row_cache import RowCache
from methods.lcmat import LCMat
from utils.data.coreset import Coreset
from utils.memory import free_memory
from utils.threads import at_most

CPU = torch.device("cpu")


def distances(n: int, dtype: torch.dtype = torch.float64) -> list[Distance]:
    """One of each kind, over the same features."""
    features = problem(n=max(n, 3), d=7).features.subset(torch.arange(n))
    features = Features(features.embeddings.to(dtype), features.logits, features.labels)
    return [CurvatureDistance(features, 0.05, 9), GradientDistance(features), CosineDistance(features)]


@pytest.mark.parametrize("memory_budget", [None, 60_000, 1])
@pytest.mark.parametrize("n", [1, 2, 7, 61])
def test_rows_sums_and_maximum_are_the_dense_ones(n, memory_budget, monkeypatch):
    monkeypatch.setattr("methods.greedy.pairwise_matrix._CPU_BAND", 16)
    random = torch.Generator().manual_seed(0)
    for distance in distances(n):
        everything = slice(0, distance.n)
        dense = distance.exact(everything, everything)
        matrix = PairwiseMatrix(distance, memory_budget)
        some = torch.randint(distance.n, (9,), generator=random).unique()
        for _ in range(2):  # what the first call filled the second overwrites
            found = torch.cat([matrix.rows(part).clone() for part in some.split(matrix.rows_at_once)])
            torch.testing.assert_close(found, dense[some], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(matrix.row(n - 1), dense[n - 1], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(matrix.sums, dense.sum(dim=1), rtol=1e-12, atol=1e-14)
        assert matrix.maximum == pytest.approx(float(dense.max()), rel=1e-12)
        limits = dense[torch.randperm(distance.n, generator=random)[0]]
        expected = torch.minimum(dense, limits).sum(dim=1)
        torch.testing.assert_close(matrix.sums_of_minima(limits), expected, rtol=1e-12, atol=1e-14)


def test_rows_handed_out_are_not_the_matrix_itself():
    for memory_budget in (None, 20_000):
        matrix = PairwiseMatrix(distances(30)[0], memory_budget)
        before = matrix.row(4).clone()
        matrix.rows(torch.tensor([4])).zero_()
        matrix.row(4).zero_()
        assert torch.equal(matrix.row(4), before)


def test_a_budget_is_bytes_and_by_default_half_of_what_is_free():
    assert allowance(12_345, CPU) == 12_345
    assert 0 < allowance(None, CPU) <= free_memory(CPU)
    for distance in distances(40):
        needed = held_bytes(40, torch.float64) + distance.nbytes
        assert PairwiseMatrix(distance, needed).held is not None
        assert PairwiseMatrix(distance, needed - 1).held is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_matrix_takes_stays_within_its_budget(dtype, monkeypatch):
    made: list[torch.Tensor] = []

    def pdist(values: torch.Tensor, p: float) -> torch.Tensor:
        made.append(torch.nn.functional.pdist(values, p))
        return made[-1]

    monkeypatch.setattr(torch, "pdist", pdist)
    for distance in distances(300, dtype):
        roomy = roomy_bytes(300, dtype) + distance.nbytes
        held = held_bytes(300, dtype) + distance.nbytes
        for budget in (held // 2, held - 1, held, roomy - 1, roomy, roomy + 300_000, 2 * roomy):
            made.clear()
            matrix = PairwiseMatrix(distance, budget)
            pairs = RowCache(matrix).pairs
            tensors = [matrix.held, matrix.buffer, matrix.scratch.first, matrix.scratch.second]
            tensors += [pairs.samples, pairs.distances]
            tensors += [max(made, key=len, default=None)]
            taken = distance.nbytes + sum(each.nbytes for each in tensors if each is not None)
            assert taken <= budget
            assert (matrix.held is None) == (budget < held)
            whole = isinstance(distance, CurvatureDistance) and budget >= roomy
            assert whole == ([len(each) for each in made] == [300 * 299 // 2])


def test_fewer_threads_end_with_the_block_and_never_become_more():
    before = torch.get_num_threads()
    with at_most(1):
        assert torch.get_num_threads() == 1
        with at_most(8):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def classes_of(sizes: list[int]) -> list[SelectionInputs]:
    return [inputs(problem(n=n, seed=n).features) for n in sizes]


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("memory_budget", [None, 60_000, 1])
def test_classes_side_by_side_are_classes_one_by_one(memory_budget):
    sizes = [31, 5, 60, 12, 44, 7, 23]
    budgets = [[n // 2] for n in sizes]
    settings = [on_cpu(seed, memory_budget) for seed in range(len(sizes))]
    method = LCMat(greedy="StochasticGreedy")  # the seed of each class counts
    found = pick_in_threads(method, iter(classes_of(sizes)), budgets, settings)
    for each, (budget,), alone, (picks,) in zip(classes_of(sizes), budgets, settings, found, strict=True):
        np.testing.assert_array_equal(picks.indices, method.pick(each, budget, alone).indices)
    assert torch.get_num_threads() == 4


@dataclass(frozen=True)
class Watched(Method):
    """Picks the first samples, and keeps account of what is under way."""

    source = "test"
    lock: ClassVar[threading.Lock] = threading.Lock()
    under_way: ClassVar[list[int]] = []
    most_bytes: ClassVar[list[int]] = []
    at_once: ClassVar[list[int]] = []

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        if budget == 13:
            raise ValueError("an unlucky class")
        assert settings.memory_budget is not None
        with self.lock:
            self.under_way.append(settings.memory_budget)
            self.most_bytes.append(sum(self.under_way))
            self.at_once.append(len(self.under_way))
        time.sleep(0.02)
        with self.lock:
            self.under_way.remove(settings.memory_budget)
        return Coreset(np.arange(budget))


@pytest.fixture
def watched() -> Watched:
    for account in (Watched.under_way, Watched.most_bytes, Watched.at_once):
        account.clear()
    return Watched()


@pytest.mark.usefixtures("four_threads")
def test_classes_under_way_share_the_memory_and_are_made_when_their_turn_comes(watched):
    sizes = [100, 10, 10, 10, 100, 10, 10, 10, 10, 10]
    room = 2 * roomy_bytes(100, torch.float64)
    made: list[int] = []

    def classes() -> Iterator[SelectionInputs]:
        for number, each in enumerate(classes_of(sizes)):
            made.append(number - len(watched.most_bytes))
            yield each

    picks = pick_in_threads(watched, classes(), [[3]] * 10, [on_cpu(0, room)] * 10)
    assert [each.indices.tolist() for (each,) in picks] == [[0, 1, 2]] * 10
    assert max(watched.most_bytes) <= room
    assert 1 < max(watched.at_once) <= 4
    assert max(made) <= 4, "as many classes exist as there are workers"


@pytest.mark.usefixtures("four_threads")
def test_a_class_that_fails_ends_the_selection_with_its_error(watched):
    budgets = [[1], [2], [13], *[[1]] * 200]
    with pytest.raises(ValueError, match="unlucky"):
        pick_in_threads(watched, iter(classes_of([9] * 203)), budgets, [on_cpu(0, 10**6)] * 203)
    assert len(watched.at_once) < 100, "the other classes were not worked off first"
