"""Distances over many orders of magnitude, against dense derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.features import Features
from methods.greedy.distances import AdaCoreDistance, CosineDistance, CurvatureDistance, GradientDistance


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1.0, 1e30, 1e150])
def test_cosines_do_not_depend_on_the_size_of_the_gradients(size):
    random = np.random.default_rng(4)
    z = random.normal(size=(6, 4)) * max(size, 1.0)
    logits = np.zeros((6, 2))
    logits[:, 0] = -np.log(min(size, 1.0)) + random.normal(size=6)  # p of the other class is about ``size``
    features = Features.of(z, logits, np.zeros(6, dtype=int))
    v = np.concatenate([np.ones((6, 1)), z], axis=1) / max(size, 1.0)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    found = CosineDistance(features).exact(slice(0, 6), slice(0, 6)).numpy()
    np.testing.assert_allclose(found, 0.5 - 0.5 * v @ v.T, atol=1e-13)


def test_a_zero_gradient_is_like_no_other_and_half_like_itself():
    features = Features.of(np.ones((3, 2)), np.array([[2000.0, 0], [0, 0], [1, 0]]), np.zeros(3, dtype=int))
    distance = CosineDistance(features)
    dense = distance.exact(slice(0, 3), slice(0, 3))
    assert dense[0].tolist() == [0.5, 0.5, 0.5]
    assert distance.diagonal().tolist() == pytest.approx(dense.diagonal().tolist(), abs=1e-15)


@pytest.mark.parametrize("kind", [GradientDistance, AdaCoreDistance, lambda f: CurvatureDistance(f, 0.05, 9)])
def test_distances_over_ten_orders_of_magnitude(kind):
    random = np.random.default_rng(5)
    z = random.normal(size=(24, 5)) * 10.0 ** random.uniform(-5, 5, size=(24, 1))
    z[3] = z[2] * (1 + 1e-7)
    z[5] = z[4]
    f = random.normal(size=(24, 3)) * 20
    f[3], f[5] = f[2], f[4]
    features = Features.of(z, f, np.zeros(24, dtype=int))
    found = kind(features).exact(slice(0, 24), slice(0, 24))
    assert found[4, 5] == found[5, 4] == 0
    assert torch.equal(found, found.T)
    distance = kind(features)
    g = (distance.left[:, :, None] * distance.right[:, None, :]).flatten(1)
    h = getattr(distance, "weighted_curvature", torch.zeros(24, 1, dtype=torch.float64))
    for i in range(24):
        expected = (g - g[i]).norm(dim=1) + (h - h[i]).abs().sum(dim=1)
        np.testing.assert_allclose(found[i].numpy(), expected.numpy(), rtol=1e-9, atol=1e-300)
