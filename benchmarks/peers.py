"""Lazy greedy on a similarity matrix by other libraries; what they build of the matrix first is not in their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from apricot import FacilityLocationSelection

from benchmarks import submodlib_greedy
from benchmarks.measure import medians, table
from benchmarks.settings import EPS, NUM_DIMS
from benchmarks.shapes import one_class
from methods.greedy.distances import CurvatureDistance
from methods.greedy.optimizers import lazy_greedy
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.greedy.set_functions import FacilityLocation

_N, _BUDGET = 5000, 500

Maximise = Callable[[], np.ndarray]


def against_libraries(repeats: int) -> Iterator[str]:
    """Yield a table: seconds of facility location by lazy greedy on one matrix, and whether the picks are the same."""
    matrix = PairwiseMatrix(CurvatureDistance(one_class(_N), EPS, NUM_DIMS))
    assert matrix.held is not None
    similarity = (matrix.offset() - matrix.held).clamp_(min=0).numpy()
    libraries: dict[str, Maximise] = {
        "here": lambda: lazy_greedy(FacilityLocation(matrix), _BUDGET).indices,
        "submodlib LazyGreedy (C++)": submodlib_greedy.lazy(submodlib_greedy.facility_location(similarity), _BUDGET),
        "apricot lazy": apricot_lazy(similarity, _BUDGET, "lazy"),
        "apricot two-stage (its default)": apricot_lazy(similarity, _BUDGET, "two-stage"),
    }
    ours = libraries["here"]()
    seconds = medians(libraries, repeats)
    rows = [
        [name, f"{seconds[name]:.3f}", f"{seconds[name] / seconds['here']:.1f}×", f"{np.mean(maximise() == ours):.0%}"]
        for name, maximise in libraries.items()
    ]
    yield table([f"{_BUDGET} of {_N:,}", "seconds", "of ours", "same picks"], rows)


def apricot_lazy(similarity: np.ndarray, budget: int, optimizer: str) -> Maximise:
    """Return a call of apricot's ``lazy``, or its default ``two-stage``, compiled by a first fit."""
    FacilityLocationSelection(2, metric="precomputed", optimizer=optimizer).fit(similarity[:9, :9])

    def maximise() -> np.ndarray:
        selection = FacilityLocationSelection(budget, metric="precomputed", optimizer=optimizer)
        return selection.fit(similarity).ranking

    return maximise
