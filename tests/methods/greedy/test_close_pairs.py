"""Distances of duplicates and near-duplicates, against differences of dense gradients in extended precision."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from method_problems import one_class, problem

from methods import select_coreset
from methods.features import Features
from methods.greedy import close_pairs
from methods.greedy.distances import AdaCoreDistance, GradientDistance, OuterDistance

N = 60


def near_duplicates() -> dict[str, Features]:
    """Features of one class, many of them close together: by what they are copies of, and how far off."""
    random = torch.Generator().manual_seed(0)
    own = one_class(problem(n=3 * N, d=6, labels=torch.arange(3 * N) % 3).features)

    def copies(source: torch.Tensor, noise: torch.Tensor | float) -> Features:
        z, f = own.embeddings[source], own.logits[source]
        z = z + noise * torch.randn(z.shape, generator=random, dtype=z.dtype)
        f = f + noise * torch.randn(f.shape, generator=random, dtype=f.dtype)
        return Features(z, f, own.labels)

    i = torch.arange(N)
    scales = 10.0 ** -(2 + 12 * torch.rand(N, 1, generator=random, dtype=torch.float64))
    return {
        "one sample": copies(i * 0, 0.0),
        "half are one sample": copies(torch.where(i % 2 == 0, 0, i), 0.0),
        "twins": copies(i // 2, 0.0),
        "one sample with noise": copies(i * 0, 1e-5),
        "noise near the smallest": copies(i * 0, 1e-14),
        "noise of every size": copies(i * 0, scales),
        "clusters": copies(i % 4, 1e-6),
        "clusters of twins": copies(i // 2 % 6, 0.0),
        "clusters within clusters": copies(i // 20 * 20, 1e-4 * (i % 20 // 5)[:, None] + 1e-9),
        "a line": Features(own.embeddings[:1] + 1e-4 * i[:, None], own.logits[:1] + 1e-4 * i[:, None], own.labels),
        "large embeddings": Features(1e5 * own.embeddings[i * 0] + i[:, None], own.logits[i * 0], own.labels),
        "opposite gradients": opposite(),
    }


def opposite() -> Features:
    """Samples of two classes whose gradients are equal but for the bias, of factors with opposite signs."""
    sign = torch.where(torch.arange(N) % 2 == 0, 1.0, -1.0).double()[:, None]
    z = 1e5 * sign * torch.ones(N, 4, dtype=torch.float64) * (1 + 1e-4 * torch.arange(N)[:, None])
    return Features(z, torch.zeros(N, 2, dtype=torch.float64), (torch.arange(N) % 2).long())


def dense_squares(distance: OuterDistance) -> np.ndarray:
    """‖x_i − x_j‖² of x = r ⊗ v, pair by pair, in extended precision."""
    left, right = (factor.numpy().astype(np.longdouble) for factor in (distance.left, distance.right))
    x = [np.outer(r, v) for r, v in zip(left, right, strict=True)]
    return np.array([[np.square(a - b).sum() for b in x] for a in x])


@pytest.mark.parametrize("many", [4, 10**9], ids=["by products", "one by one"])
@pytest.mark.parametrize("kind", [GradientDistance, AdaCoreDistance])
@pytest.mark.parametrize("name", near_duplicates())
def test_distances_are_those_of_dense_gradients(name, kind, many, monkeypatch):
    monkeypatch.setattr(close_pairs, "_MANY", many)
    distance = kind(near_duplicates()[name])
    expected = np.sqrt(dense_squares(distance)).astype(np.float64)
    for rows in (slice(0, N), torch.arange(0, N, 7)):
        found = distance.exact(rows, slice(0, N)).numpy()
        np.testing.assert_allclose(
            found, expected[rows], rtol=1e-9, atol=1e-15 * float(distance.squared_norms.max()) ** 0.5
        )
        assert not found[expected[rows] == 0].any(), "duplicates lie at exactly 0"


@pytest.mark.parametrize("name", ["one sample", "one sample with noise", "clusters", "noise of every size"])
def test_few_pairs_of_many_close_ones_are_taken_one_by_one(name, monkeypatch):
    monkeypatch.setattr(close_pairs, "_MANY", 4)
    taken: list[int] = []
    one_by_one = close_pairs._one_by_one
    monkeypatch.setattr(close_pairs, "_one_by_one", lambda i, *rest: taken.append(len(i)) or one_by_one(i, *rest))
    GradientDistance(near_duplicates()[name]).exact(slice(0, N), slice(0, N))
    assert sum(taken) < N * N / 8


@pytest.mark.parametrize("greedy", ["NaiveGreedy", "LazyGreedy"])
@pytest.mark.parametrize("name", ["one sample", "half are one sample", "twins", "one sample with noise", "clusters"])
def test_picks_of_near_duplicates_are_the_literal_ones(name, greedy, monkeypatch):
    monkeypatch.setattr(close_pairs, "_MANY", 4)
    features = near_duplicates()[name]
    z, f, y = (each.numpy() for each in (features.embeddings, features.logits, features.labels))
    matrix = literal.distances(*literal.dense_derivatives(z, f, y), 0.05, 7)
    found = select_coreset("LCMat", embeddings=z, logits=f, labels=y, fraction=0.4, num_dims=7, greedy=greedy)
    assert found.indices.tolist() == literal.naive_picks(matrix, round(0.4 * N), matrix.max())
