import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import cosine_distances

from methods.features import Features
from methods.prototypicality import Prototypicality
from utils.errors import UserError


def literal(z, labels, keep, budget):
    """Scikit-learn's k-means on the directions, started from the class means, and its cosine distances."""
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    start = np.stack([u[labels == y].mean(axis=0) for y in np.unique(labels)])
    centres = KMeans(len(start), init=start, n_init=1, max_iter=100, tol=0).fit(u).cluster_centers_
    distances = cosine_distances(u, centres).min(axis=1)
    return np.argsort(-distances if keep == "hardest" else distances, kind="stable")[:budget].tolist()


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
@pytest.mark.parametrize("seed", range(4))
def test_against_scikit_learns_k_means(keep, seed):
    features = problem(n=50, seed=seed).features
    picked = Prototypicality(keep=keep).pick(inputs(features), 15, on_cpu()).indices.tolist()
    assert picked == literal(features.embeddings.numpy(), features.labels.numpy(), keep, 15)


def test_by_hand():
    """One class: directions at 0°, 10°, −10°, 60° and −60° about a mean at 0°; lengths do not matter."""
    angles = torch.tensor([0.0, 10, -10, 60, -60], dtype=torch.float64).deg2rad()
    z = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [5], [5], [3], [3]])
    features = Features.of(z, torch.zeros(5, 2, dtype=torch.float64), torch.zeros(5).long())
    assert Prototypicality(keep="easiest").pick(inputs(features), 5, on_cpu()).indices.tolist() == [0, 1, 2, 3, 4]
    assert Prototypicality().pick(inputs(features), 5, on_cpu()).indices.tolist() == [3, 4, 1, 2, 0]


def test_a_wrong_label_does_not_pull_its_prototype_for_long():
    """Two clusters, one sample of which is labelled as the other: k-means gives it back to its own."""
    z = torch.tensor([[1.0, 0.1], [1, -0.1], [1, 0], [0.1, 1], [-0.1, 1], [0, 1]], dtype=torch.float64)
    features = Features.of(z, torch.zeros(6, 2, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 1]))
    assert set(Prototypicality(keep="easiest").pick(inputs(features), 2, on_cpu()).indices.tolist()) == {2, 5}


def test_another_end_is_refused():
    with pytest.raises(UserError, match="hardest, easiest"):
        Prototypicality(keep="middle")
