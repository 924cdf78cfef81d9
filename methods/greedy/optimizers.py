"""Greedy optimisers: pick after pick, the sample with the largest marginal gain, the lowest index on ties.

They see a set function only through ``gains``, ``all_gains``, ``add`` and ``tolerance`` (set_functions.py).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.greedy.set_functions import SetFunction
from utils.data.coreset import Coreset
from utils.flags import OneOf, flag
from utils.seeding import derive_seed
from utils.threads import small_steps

_DELTA = 0.1  # stochastic greedy's failure probability: it samples n/k · ln(1/δ) candidates a pick
_LARGEST_PASS = 1 << 30  # bytes: by a GPU's bandwidth a pass over more takes longer than the waits of a lazy pick
_ACCEPTANCE = 0.9  # approximate-lazy greedy takes a fresh gain of this share of the next bound


def naive_greedy(function: SetFunction, budget: int, seed: int = 0) -> Coreset:
    """Pick with every gain computed again for each pick.

    That is one pass a pick on an accelerator, which the host waits for after the last one; and it is the reference for
    the other optimisers.
    """
    picked: list[Tensor] = []  # int64 [1] each
    gains: list[Tensor] = []  # float64 [1] each
    available = torch.ones(function.n, dtype=torch.bool, device=function.device)
    for _ in range(budget):
        current = function.all_gains().masked_fill_(~available, -math.inf)
        pick = (current >= current.max() - function.tolerance).to(torch.int8).argmax(dim=0, keepdim=True)
        picked.append(pick)
        gains.append(current[pick])
        function.add(pick)
        available[pick] = False
    if not picked:
        return _coreset([], [])
    picks, added = read_picks(torch.cat(picked), torch.cat(gains))
    return Coreset(picks, gains=added)


def read_picks(picks: Tensor, gains: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 ``picks`` and their float64 ``gains``, of one shape, as arrays, waiting for the device once."""
    both = torch.stack([picks.double(), gains]).cpu().numpy()
    return both[0].astype(np.int64), both[1]


def lazy_greedy(function: SetFunction, budget: int, seed: int = 0) -> Coreset:
    """Pick what naive greedy picks of a submodular function, whose gains only fall (Minoux 1978).

    Old gains are upper bounds: only candidates whose bound reaches the best fresh gain are evaluated, twice as
    many at a time the longer a pick takes.
    """
    picked: list[int] = []
    gains: list[float] = []
    bounds = _Bounds(function, picked)
    for _ in range(budget):
        if len(picked) == 1:  # the first pick lowers nearly every gain: all anew in one pass
            bounds = _Bounds(function, picked)
        if bounds.exhausted():
            break
        fresh: list[tuple[float, int]] = []
        threshold, width = -math.inf, function.matrix.batch
        while stale := bounds.pop(threshold, width):
            fresh += _evaluate(function, [j for _, j in stale])
            threshold = max(fresh)[0] - function.tolerance
            width = min(2 * width, function.matrix.rows_at_once)
        gain, pick = min((each for each in fresh if each[0] >= threshold), key=itemgetter(1))
        bounds.push(each for each in fresh if each[1] != pick)
        _take(function, pick, gain, picked, gains)
    bounds.take_first(budget - len(picked), picked, gains)
    return _coreset(picked, gains)


def exact_greedy(function: SetFunction, budget: int, seed: int = 0) -> Coreset:
    """Pick what both above pick: by passes over a matrix that an accelerator holds, from a large one lazily."""
    held = function.matrix.held
    passes = held is not None and held.device.type != "cpu" and held.nbytes <= _LARGEST_PASS
    return (naive_greedy if passes else lazy_greedy)(function, budget, seed)


def stochastic_greedy(function: SetFunction, budget: int, seed: int = 0) -> Coreset:
    """Pick the best of a random n/k · ln(1/δ) candidates at each pick (Mirzasoleiman et al. 2015)."""
    picked: list[int] = []
    gains: list[float] = []
    random = np.random.default_rng(derive_seed(seed, "stochastic greedy"))
    available = np.ones(function.n, dtype=bool)
    size = math.ceil(function.n / max(budget, 1) * math.log(1 / _DELTA))
    for _ in range(budget):
        left = np.flatnonzero(available)
        sample = np.sort(random.choice(left, size=min(size, len(left)), replace=False))
        current = np.array(_evaluate(function, sample.tolist()))[:, 0]
        pick = int(sample[current >= current.max() - function.tolerance][0])
        _take(function, pick, float(current[sample == pick][0]), picked, gains)
        available[pick] = False
    return _coreset(picked, gains)


def approximate_lazy_greedy(function: SetFunction, budget: int, seed: int = 0) -> Coreset:
    """Pick lazily, taking a candidate whose fresh gain is at least 0.9 of the next bound.

    Where the bound is not positive there is no share of it to reach: the candidate must reach the bound.
    """
    picked: list[int] = []
    gains: list[float] = []
    bounds = _Bounds(function, picked)
    for _ in range(budget):
        if len(picked) == 1:  # the first pick lowers nearly every gain: all anew in one pass
            bounds = _Bounds(function, picked)
        if bounds.exhausted():
            break
        while True:
            tied = bounds.pop(bounds.highest() - function.tolerance)
            j = min(j for _, j in tied)
            bounds.push(each for each in tied if each[1] != j)
            (evaluated,) = _evaluate(function, [j])
            gain, bound = evaluated[0], bounds.highest()
            if gain >= (_ACCEPTANCE * bound if bound > 0 else bound) - function.tolerance:
                break
            bounds.push([evaluated])
        _take(function, j, gain, picked, gains)
    bounds.take_first(budget - len(picked), picked, gains)
    return _coreset(picked, gains)


Greedy = Callable[[SetFunction, int, int], Coreset]
GREEDIES: dict[str, Greedy] = {
    "NaiveGreedy": naive_greedy,
    "LazyGreedy": lazy_greedy,
    "StochasticGreedy": stochastic_greedy,
    "ApproximateLazyGreedy": approximate_lazy_greedy,
}


class _Bounds:
    """A heap of candidates by the last gain known of each, which bounds its next one from above."""

    def __init__(self, function: SetFunction, picked: list[int]) -> None:
        self.function = function
        self.heap = [(-gain, j) for j, gain in enumerate(function.all_gains().tolist()) if j not in picked]
        heapq.heapify(self.heap)

    def highest(self) -> float:
        """Return the largest bound; −∞ where there are no candidates."""
        return -self.heap[0][0] if self.heap else -math.inf

    def pop(self, least: float, count: int | None = None) -> list[tuple[float, int]]:
        """Remove and return the candidates, at most ``count``, whose bound is at least ``least``, the highest first."""
        taken: list[tuple[float, int]] = []
        while self.heap and -self.heap[0][0] >= least and len(taken) != count:
            negative, j = heapq.heappop(self.heap)
            taken.append((-negative, j))
        return taken

    def exhausted(self) -> bool:
        """Return whether no candidate is left that gains anything: then all are tied, if no gain is negative."""
        return self.function.monotone and self.highest() <= self.function.tolerance

    def take_first(self, count: int, picked: list[int], gains: list[float]) -> None:
        """Pick the ``count`` candidates of lowest index."""
        for pick in sorted(j for _, j in self.heap)[:count]:
            _take(self.function, pick, _evaluate(self.function, [pick])[0][0], picked, gains)

    def push(self, evaluated: Iterable[tuple[float, int]]) -> None:
        """Put candidates back with new bounds (gain, j)."""
        for gain, j in evaluated:
            heapq.heappush(self.heap, (-gain, j))


def _evaluate(function: SetFunction, candidates: list[int]) -> list[tuple[float, int]]:
    """Return (gain, j) for each of ``candidates``, its gain being computed now."""
    groups = torch.tensor(candidates).split(function.matrix.rows_at_once)
    held = function.matrix.held is not None
    with small_steps(len(candidates) * function.n) if held else nullcontext():
        gains = torch.cat([function.gains(group) for group in groups]).tolist()
    return list(zip(gains, candidates, strict=True))


def _take(function: SetFunction, pick: int, gain: float, picked: list[int], gains: list[float]) -> None:
    function.add(pick)
    picked.append(pick)
    gains.append(gain)


def _coreset(picked: list[int], gains: list[float]) -> Coreset:
    return Coreset(np.array(picked, dtype=np.int64), gains=np.array(gains, dtype=np.float64))


def greedy_flag() -> Any:
    """Return the field of a method whose set function any of these maximises."""
    names = OneOf("submodular_greedy", GREEDIES)
    return flag("LazyGreedy", "--submodular_greedy", names, "the greedy maximiser of set functions: {names}")
