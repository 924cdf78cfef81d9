"""Set functions and lazy greedy of submodlib, in C++."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from submodlib import FacilityLocationFunction, GraphCutFunction


def facility_location(similarity: np.ndarray) -> FacilityLocationFunction:
    """Return facility location over similarities [n, n]."""
    return FacilityLocationFunction(n=len(similarity), mode="dense", sijs=similarity, separate_rep=False)


def graph_cut(similarity: np.ndarray) -> GraphCutFunction:
    """Return graph cut with λ = 1 over similarities [n, n]."""
    return GraphCutFunction(n=len(similarity), mode="dense", lambdaVal=1, ggsijs=similarity, separate_rep=False)


def lazy(function: FacilityLocationFunction | GraphCutFunction, budget: int) -> Callable[[], np.ndarray]:
    """Return a call of LazyGreedy, which gives its picks, int64 [k]."""

    def maximise() -> np.ndarray:
        picks = function.maximize(
            budget=budget,
            optimizer="LazyGreedy",
            stopIfZeroGain=False,
            stopIfNegativeGain=False,
            verbose=False,
            show_progress=False,
        )
        return np.array([index for index, _ in picks])

    return maximise
