"""What other packages have of the methods: the same picks another way, or another way to the same objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from methods.base import Method
from methods.features import Features
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.kcentergreedy import first_centre
from methods.submodular import SetFunctionMethod

_NEIGHBOURS, _FLOOR = 10, 1e-12  # of Cal


@dataclass(frozen=True)
class Peer:
    """How another package selects.

    Attributes:
        name: the package and what of it is used.
        picks: selects, int64 [k].
        objective: of any picks, where the method has one; the higher the better.
    """

    name: str
    picks: Callable[[], np.ndarray]
    objective: Callable[[np.ndarray], float] | None = None


def peer_of(method: Method, features: Features, budget: int) -> Peer | None:
    """Return how another package selects ``budget`` of all samples as ``method`` does; None where no package does.

    None too where the package is not installed.
    """
    if isinstance(method, SetFunctionMethod):
        return _submodlib(method, features, budget) if find_spec("submodlib") else None
    make = _SCIKIT_LEARN.get(type(method).__name__)
    return None if make is None else make(features, budget)


def _submodlib(method: SetFunctionMethod, features: Features, budget: int) -> Peer:
    """Return lazy greedy in C++ on the similarities that the method computed, whose time is not in the peer's."""
    from benchmarks.submodlib_greedy import facility_location, graph_cut, lazy

    matrix = PairwiseMatrix(method.distance(features))
    assert matrix.held is not None
    similarity = (matrix.offset() - matrix.held).clamp_(min=0).numpy()

    def covered(picks: np.ndarray) -> float:
        return float(similarity[:, picks].max(axis=1).sum(dtype=np.float64))

    def cut(picks: np.ndarray) -> float:
        apart = similarity[np.ix_(picks, picks)].sum(dtype=np.float64)
        return float(similarity[:, picks].sum(dtype=np.float64) - apart)

    functions = {"FacilityLocation": (facility_location, covered), "GraphCut": (graph_cut, cut)}
    function, objective = functions[method.set_function.__name__]
    return Peer("submodlib LazyGreedy (greedy alone)", lazy(function(similarity), budget), objective)


def _farthest_first(features: Features, budget: int) -> Peer:
    z = features.embeddings.double().numpy()  # [n, d]

    def picks() -> np.ndarray:
        away = pairwise_distances(z)  # [n, n]
        picked = [first_centre(len(z), seed=0)]
        nearest = away[picked[0]].copy()
        for _ in range(budget - 1):
            picked.append(int(nearest.argmax()))
            nearest = np.minimum(nearest, away[picked[-1]])
        return np.array(picked)

    def objective(picks: np.ndarray) -> float:
        return -float(pairwise_distances(z, z[picks]).min(axis=1).max())

    return Peer("scikit-learn pairwise_distances", picks, objective)


def _contrast(features: Features, budget: int) -> Peer:
    z, logits = features.embeddings.double().numpy(), features.logits.double()

    def picks() -> np.ndarray:
        p = logits.softmax(dim=1).clamp(min=_FLOOR).numpy()  # [n, C]
        near = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit(z).kneighbors(return_distance=False)  # [n, 10]
        apart, ratios = p[:, None] - p[near], np.log(p)[:, None] - np.log(p)[near]  # [n, 10, C]
        return np.argsort(-(apart * ratios).sum(axis=2).mean(axis=1) / 2, kind="stable")[:budget]

    return Peer("scikit-learn NearestNeighbors", picks)


def _prototypes(features: Features, budget: int) -> Peer:
    z, y = features.embeddings.double().numpy(), features.labels.numpy()

    def picks() -> np.ndarray:
        u = normalize(z)
        means = np.stack([u[y == label].mean(axis=0) for label in np.unique(y)])
        centres = KMeans(len(means), init=means, n_init=1, max_iter=100, tol=0).fit(u).cluster_centers_
        return np.argsort(cosine_similarity(u, centres).max(axis=1), kind="stable")[:budget]

    return Peer("scikit-learn KMeans", picks)


_SCIKIT_LEARN: dict[str, Callable[[Features, int], Peer]] = {
    "KCenterGreedy": _farthest_first,
    "Cal": _contrast,
    "Prototypicality": _prototypes,
}
