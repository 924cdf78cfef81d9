"""The closed forms of the last layer's derivatives where floating point is at its worst, against exact arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from method_problems import problem

from nets import last_layer
from nets.last_layer import (
    Gradients,
    augment,
    complements,
    hessian_coordinates,
    probabilities,
    product_variance,
    residuals,
)
from utils.errors import UserError


def exact_softmax(logits: list[float]) -> list[Decimal]:
    exponentials = [Decimal(value).exp() for value in logits]
    return [value / sum(exponentials) for value in exponentials]


@pytest.mark.parametrize("gap", [1.0, 10.0, 36.0, 37.0, 40.0, 100.0, 700.0])
def test_residuals_and_curvatures_of_saturated_samples_keep_their_digits(gap):
    """1 − p_y is 0 in float64 from a gap of 37 on; −Σ of the other p is not."""
    logits = [[gap, 0.0, -1.0], [0.0, gap, 0.5], [-1.0, 0.0, gap]]
    found = residuals(torch.tensor(logits), torch.tensor([0, 0, 2]))
    p = probabilities(torch.tensor(logits))
    curvatures = p * complements(p)
    with localcontext() as context:
        context.prec = 700
        for i, label in enumerate([0, 0, 2]):
            exact = exact_softmax(logits[i])
            for c in range(3):
                residual = exact[c] - (c == label)
                assert float(found[i, c]) == pytest.approx(float(residual), rel=1e-14)
                assert float(curvatures[i, c]) == pytest.approx(float(exact[c] * (1 - exact[c])), rel=1e-14)


def exact_variance(s: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Of every product s_c·w_k over the samples, in fractions; [C, m]."""
    n = len(s)
    variance = np.empty((s.shape[1], w.shape[1]))
    for c in range(s.shape[1]):
        for k in range(w.shape[1]):
            products = [Fraction(float(s[i, c])) * Fraction(float(w[i, k])) for i in range(n)]
            mean = sum(products) / n
            variance[c, k] = float(sum((product - mean) ** 2 for product in products) / n)
    return variance


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6])
def test_variances_do_not_cancel_beside_a_large_offset(offset):
    random = np.random.default_rng(0)
    s = random.uniform(0, 0.25, size=(15, 3))
    w = (random.normal(size=(15, 6)) * [1e-3, 1e-2, 0.1, 0.2, 0.3, 1.0] + offset) ** 2
    found = product_variance(torch.tensor(s), torch.tensor(w)).numpy()
    np.testing.assert_allclose(found, exact_variance(s, w), rtol=1e-9)


def test_variances_of_steady_curvatures_beside_a_large_offset():
    """Where s hardly varies, what sets coordinates apart is eight digits below the products."""
    random = np.random.default_rng(1)
    s = 0.2 + 1e-9 * random.normal(size=(15, 2))
    w = (1e3 + random.normal(size=(15, 5)) * [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]) ** 2
    found = product_variance(torch.tensor(s), torch.tensor(w)).numpy()
    np.testing.assert_allclose(found, exact_variance(s, w), rtol=1e-5)
    naive = (s[:, :, None] ** 2 * w[:, None, :] ** 2).mean(axis=0) - (s[:, :, None] * w[:, None, :]).mean(axis=0) ** 2
    assert not np.allclose(naive, found, rtol=0.1), "the problem is one on which the textbook formula fails"


def test_the_variance_of_products_bears_a_large_factor_where_the_other_vanishes():
    s, w = np.array([[1e-7], [2e-7], [3e-7], [1e-30]]), np.array([[1.0], [2.0], [1.5], [1e8]])
    found = product_variance(torch.tensor(s), torch.tensor(w)).item()
    assert found == pytest.approx((s * w).var(), rel=1e-12, abs=0)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("num_dims", [1, 7, 40])
def test_leaving_classes_out_changes_no_coordinate(sharpness, num_dims, monkeypatch):
    random = np.random.default_rng(2)
    z, f = random.normal(size=(20, 4)), sharpness * random.normal(size=(20, 90))
    z, f = torch.tensor(z), torch.tensor(f)
    p = probabilities(f)
    variance = product_variance(p * complements(p), augment(z).square())  # [90, 5]
    top = np.argsort(-variance.flatten().numpy(), kind="stable")[:num_dims]
    h = ((p * (1 - p))[:, :, None] * augment(z).square()[:, None, :]).flatten(1).numpy()
    asked: list[int] = []

    def counted(s: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        asked.append(s.shape[1])
        return product_variance(s, w)

    monkeypatch.setattr(last_layer, "product_variance", counted)
    monkeypatch.setattr(last_layer, "_CLASSES_AT_ONCE", 8)
    monkeypatch.setattr(last_layer, "_COLUMNS_AT_ONCE", 2)
    found = hessian_coordinates(z, f, num_dims).numpy()
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(h[:, top], axis=1), atol=1e-14)
    assert sharpness < 30 or sum(asked) < 3 * 90, "one class of many varies"


def test_equal_variances_go_to_the_lowest_coordinate():
    z = torch.tensor(np.random.default_rng(3).normal(size=(30, 1)).repeat(5, axis=1))
    f = torch.tensor([[0.3, 0.1]], dtype=torch.float64).expand(30, 2)
    assert torch.equal(hessian_coordinates(z, f, 2), hessian_coordinates(z, f, 4)[:, :2])
    everything = hessian_coordinates(z, f, 100)
    assert everything.shape == (30, 2 * 6)


def test_products_and_norms_are_those_of_the_dense_gradients():
    given = problem(n=20, d=4, C=3)
    dense = given.dense_gradients()  # [n, C, d + 1]
    gradients = given.features.gradients()
    direction = torch.linspace(-1, 1, 15, dtype=torch.float64).view(3, 5)
    torch.testing.assert_close(gradients.mean(), dense.mean(dim=0))
    torch.testing.assert_close(gradients.inner(direction), (dense * direction).sum(dim=(1, 2)))
    torch.testing.assert_close(gradients.squared_norms(), dense.square().sum(dim=(1, 2)))
    assert len(gradients) == 20


def test_gradients_that_overflow_are_refused():
    z = torch.full((2, 1), 1e200, dtype=torch.float64)
    with pytest.raises(UserError, match="overflow"):
        Gradients.of(z, torch.zeros(2, 2, dtype=torch.float64), torch.arange(2))
