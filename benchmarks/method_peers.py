"""What other packages have of the methods: the same picks another way, or another way to the same objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch.nn.functional import cross_entropy

from benchmarks.deepcore_peers import DeepCore
from methods.base import Method
from methods.contextualdiversity import clamped_probabilities, symmetric_divergence
from methods.features import Features
from methods.glister import Glister
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.kcentergreedy import first_centre
from methods.submodular import SetFunctionMethod

_NEIGHBOURS, _FLOOR = 10, 1e-12  # of Cal


Picks = Callable[[], np.ndarray]
Objective = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Peer:
    """How another package selects.

    Attributes:
        name: the package and what of it is used.
        picks: selects, int64 [k].
        objective: of any picks, where the method has one; the higher the better.
    """

    name: str
    picks: Picks
    objective: Objective | None = None


def peers_of(method: Method, features: Features, budget: int, deepcore: Path | None = None) -> list[Peer]:
    """Return how other packages select ``budget`` of all samples as ``method`` does, those that are there.

    Args:
        deepcore: a clone of DeepCore, or None.
    """
    name = type(method).__name__
    theirs = None if deepcore is None else DeepCore(deepcore, features, budget)
    peers = []
    if isinstance(method, SetFunctionMethod):
        similarity, objective = _similarity(method, features)
        function = method.set_function.__name__
        if find_spec("submodlib"):
            peers.append(_submodlib(function, similarity, budget, objective))
        if theirs is not None and name not in theirs.selections:
            picks = partial(theirs.lazy, function, similarity)
            peers.append(Peer(f"DeepCore {function}, LazyGreedy (greedy alone)", picks, objective))
    else:
        objective = _OBJECTIVES[name](features) if name in _OBJECTIVES else None
        if name in _SCIKIT_LEARN:
            package, picks = _SCIKIT_LEARN[name](features, budget)
            peers.append(Peer(package, picks, objective))
    if theirs is not None and name in theirs.selections:
        part, picks = theirs.selections[name]
        peers.append(Peer(f"DeepCore {part}", picks, objective))
    return peers


def _similarity(method: SetFunctionMethod, features: Features) -> tuple[np.ndarray, Objective]:
    """Return the similarities that the method computes, [n, n], and the set function that it maximises over them."""
    matrix = PairwiseMatrix(method.distance(features))
    assert matrix.held is not None
    similarity = (matrix.offset() - matrix.held).clamp_(min=0).numpy()

    def covered(picks: np.ndarray) -> float:
        return float(similarity[:, picks].max(axis=1).sum(dtype=np.float64))

    def cut(picks: np.ndarray) -> float:
        apart = similarity[np.ix_(picks, picks)].sum(dtype=np.float64)
        return float(similarity[:, picks].sum(dtype=np.float64) - apart)

    return similarity, {"FacilityLocation": covered, "GraphCut": cut}[method.set_function.__name__]


def _submodlib(function: str, similarity: np.ndarray, budget: int, objective: Objective) -> Peer:
    """Return lazy greedy in C++ on similarities, whose time is not in the peer's."""
    from benchmarks.submodlib_greedy import facility_location, graph_cut, lazy

    made = {"FacilityLocation": facility_location, "GraphCut": graph_cut}[function](similarity)
    return Peer("submodlib LazyGreedy (greedy alone)", lazy(made, budget), objective)


def _radius(features: Features) -> Objective:
    """Return −max_i min_s ‖z_i − z_s‖."""
    z = features.embeddings.double().numpy()  # [n, d]
    return lambda picks: -float(pairwise_distances(z, z[picks]).min(axis=1).max())


def _widest_divergence(features: Features) -> Objective:
    """Return −max_i min_s D(p_i, p_s)."""
    p = clamped_probabilities(features)
    log_p = p.log()

    def objective(picks: np.ndarray) -> float:
        away = [symmetric_divergence(p, p[pick], log_p, log_p[pick]) for pick in picks]
        return -float(torch.stack(away).amin(dim=0).max())

    return objective


def _mean_apart(features: Features) -> Objective:
    """Return −‖mean of the picks' embeddings − mean of all‖."""
    z = features.embeddings.double()
    return lambda picks: -float((z[picks].mean(dim=0) - z.mean(dim=0)).norm())


def _unmatched(features: Features) -> Objective:
    """Return −min_{w ≥ 0} √(‖Σ_s w_s g_s − mean gradient‖² + ‖w‖²)."""
    gradients = features.gradients()
    target = gradients.mean().flatten().numpy()  # [C (d + 1)]

    def objective(picks: np.ndarray) -> float:
        r, z = gradients.residuals[picks], gradients.augmented[picks]
        g = (r[:, :, None] * z[:, None, :]).flatten(1).numpy()  # [k, C (d + 1)]
        ridge = np.eye(len(picks))
        return -float(nnls(np.vstack([g.T, ridge]), np.concatenate([target, np.zeros(len(picks))]))[1])

    return objective


def _loss_after_step(features: Features) -> Objective:
    """Return −the mean loss of all samples after Glister's step along the picks' mean gradient."""
    gradients = features.gradients()
    r, z = gradients.residuals, gradients.augmented

    def objective(picks: np.ndarray) -> float:
        step = Glister().eta * (r[picks].T @ z[picks]) / len(picks)  # [C, d + 1]
        return -float(cross_entropy(features.logits.double() - z @ step.T, features.labels))

    return objective


def _farthest_first(features: Features, budget: int) -> tuple[str, Picks]:
    z = features.embeddings.double().numpy()  # [n, d]

    def picks() -> np.ndarray:
        away = pairwise_distances(z)  # [n, n]
        picked = [first_centre(len(z), seed=0)]
        nearest = away[picked[0]].copy()
        for _ in range(budget - 1):
            picked.append(int(nearest.argmax()))
            nearest = np.minimum(nearest, away[picked[-1]])
        return np.array(picked)

    return "scikit-learn pairwise_distances", picks


def _contrast(features: Features, budget: int) -> tuple[str, Picks]:
    z, logits = features.embeddings.double().numpy(), features.logits.double()

    def picks() -> np.ndarray:
        p = logits.softmax(dim=1).clamp(min=_FLOOR).numpy()  # [n, C]
        near = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit(z).kneighbors(return_distance=False)  # [n, 10]
        apart, ratios = p[:, None] - p[near], np.log(p)[:, None] - np.log(p)[near]  # [n, 10, C]
        return np.argsort(-(apart * ratios).sum(axis=2).mean(axis=1) / 2, kind="stable")[:budget]

    return "scikit-learn NearestNeighbors", picks


def _prototypes(features: Features, budget: int) -> tuple[str, Picks]:
    z, y = features.embeddings.double().numpy(), features.labels.numpy()

    def picks() -> np.ndarray:
        u = normalize(z)
        means = np.stack([u[y == label].mean(axis=0) for label in np.unique(y)])
        centres = KMeans(len(means), init=means, n_init=1, max_iter=100, tol=0).fit(u).cluster_centers_
        return np.argsort(cosine_similarity(u, centres).max(axis=1), kind="stable")[:budget]

    return "scikit-learn KMeans", picks


_OBJECTIVES: dict[str, Callable[[Features], Objective]] = {
    "GradMatch": _unmatched,
    "Glister": _loss_after_step,
    "Herding": _mean_apart,
    "KCenterGreedy": _radius,
    "ContextualDiversity": _widest_divergence,
}

_SCIKIT_LEARN: dict[str, Callable[[Features, int], tuple[str, Picks]]] = {
    "KCenterGreedy": _farthest_first,
    "Cal": _contrast,
    "Prototypicality": _prototypes,
}
