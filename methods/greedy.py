"""Greedy optimisers: pick after pick, the sample with the largest marginal gain, the lowest index on ties.

They see a set function only through ``gains``, ``all_gains``, ``add`` and ``tolerance`` (set_functions.py).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from methods.set_functions import SetFunction
from methods.threads import at_most
from utils.seeding import derive_seed

_DELTA = 0.1  # stochastic greedy's failure probability: it samples n/k · ln(1/δ) candidates a pick
_ACCEPTANCE = 0.9  # approximate-lazy greedy takes a fresh gain of this share of the next bound
_BATCH = 4  # candidates that lazy greedy evaluates at first


@dataclass(frozen=True, eq=False)
class Picks:
    """Ranking and gains: local indices int64 [k] in the order picked, what each added float64 [k], weights [k]."""

    indices: np.ndarray
    gains: np.ndarray | None = None
    weights: np.ndarray | None = None


def naive_greedy(function: SetFunction, budget: int, seed: int = 0) -> Picks:
    """Every gain anew for every pick: on an accelerator one pass, and the reference for the others."""
    picked: list[int] = []
    gains: list[float] = []
    available = torch.ones(function.n, dtype=torch.bool, device=function.device)
    for _ in range(budget):
        current = function.all_gains().masked_fill_(~available, -math.inf)
        pick = int((current >= current.max() - function.tolerance).to(torch.int8).argmax())
        _take(function, pick, float(current[pick]), picked, gains)
        available[pick] = False
    return _picks(picked, gains)


def lazy_greedy(function: SetFunction, budget: int, seed: int = 0) -> Picks:
    """The picks of naive greedy on a submodular function, whose gains only fall (Minoux 1978).

    Old gains are upper bounds: only candidates whose bound reaches the best fresh gain are evaluated, twice as
    many at a time the longer a pick takes.
    """
    picked: list[int] = []
    gains: list[float] = []
    heap = _heap(function)
    with _small_steps(function):
        for _ in range(budget):
            fresh: list[tuple[float, int]] = []
            threshold, width = -math.inf, _BATCH
            while heap and -heap[0][0] >= threshold:
                batch = _pop(heap, width, threshold)
                fresh += zip(_evaluate(function, batch), batch, strict=True)
                threshold = max(fresh)[0] - function.tolerance
                width = min(2 * width, function.matrix.rows_at_once)
            pick = min(j for gain, j in fresh if gain >= threshold)
            for gain, j in fresh:
                if j == pick:
                    _take(function, pick, gain, picked, gains)
                else:
                    heapq.heappush(heap, (-gain, j))
    return _picks(picked, gains)


def stochastic_greedy(function: SetFunction, budget: int, seed: int = 0) -> Picks:
    """The best of a random n/k · ln(1/δ) candidates at each pick (Mirzasoleiman et al. 2015)."""
    picked: list[int] = []
    gains: list[float] = []
    random = np.random.default_rng(derive_seed(seed, "stochastic greedy"))
    available = np.ones(function.n, dtype=bool)
    size = math.ceil(function.n / max(budget, 1) * math.log(1 / _DELTA))
    with _small_steps(function):
        for _ in range(budget):
            left = np.flatnonzero(available)
            sample = np.sort(random.choice(left, size=min(size, len(left)), replace=False))
            current = np.array(_evaluate(function, sample.tolist()))
            pick = int(sample[current >= current.max() - function.tolerance][0])
            _take(function, pick, float(current[sample == pick][0]), picked, gains)
            available[pick] = False
    return _picks(picked, gains)


def approximate_lazy_greedy(function: SetFunction, budget: int, seed: int = 0) -> Picks:
    """Lazy greedy that takes a candidate whose fresh gain is at least 0.9 of the next bound.

    Where the bound is not positive there is no share of it to reach: the candidate must reach the bound.
    """
    picked: list[int] = []
    gains: list[float] = []
    heap = _heap(function)
    with _small_steps(function):
        for _ in range(budget):
            while True:
                (j,) = _pop(heap, 1, -math.inf)
                (gain,) = _evaluate(function, [j])
                bound = -heap[0][0] if heap else -math.inf
                if gain >= (_ACCEPTANCE * bound if bound > 0 else bound):
                    break
                heapq.heappush(heap, (-gain, j))
            _take(function, j, gain, picked, gains)
    return _picks(picked, gains)


Greedy = Callable[[SetFunction, int, int], Picks]
GREEDIES: dict[str, Greedy] = {
    "NaiveGreedy": naive_greedy,
    "LazyGreedy": lazy_greedy,
    "StochasticGreedy": stochastic_greedy,
    "ApproximateLazyGreedy": approximate_lazy_greedy,
}


def _small_steps(function: SetFunction) -> AbstractContextManager[None]:
    """One thread where the matrix is held: a few of its rows are through before others have started."""
    return nullcontext() if function.matrix.held is None else at_most(1)


def _heap(function: SetFunction) -> list[tuple[float, int]]:
    heap = [(-gain, j) for j, gain in enumerate(function.all_gains().tolist())]
    heapq.heapify(heap)
    return heap


def _pop(heap: list[tuple[float, int]], width: int, threshold: float) -> list[int]:
    batch: list[int] = []
    while heap and len(batch) < width and -heap[0][0] >= threshold:
        batch.append(heapq.heappop(heap)[1])
    return batch


def _evaluate(function: SetFunction, candidates: list[int]) -> list[float]:
    groups = torch.tensor(candidates, device=function.device).split(function.matrix.rows_at_once)
    return [gain for group in groups for gain in function.gains(group).tolist()]


def _take(function: SetFunction, pick: int, gain: float, picked: list[int], gains: list[float]) -> None:
    function.add(pick)
    picked.append(pick)
    gains.append(gain)


def _picks(picked: list[int], gains: list[float]) -> Picks:
    return Picks(np.array(picked, dtype=np.int64), np.array(gains, dtype=np.float64))
