"""The closed forms where floating point is at its worst, against exact arithmetic; and any input at all."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from methods import features as closed_form
from methods import select_coreset
from methods.features import Features, complements, curvature_coordinates, product_variance
from methods.greedy.distances import AdaCoreDistance, CosineDistance, CurvatureDistance, GradientDistance
from methods.greedy.optimizers import GREEDIES
from utils.errors import UserError


def exact_softmax(logits: list[float]) -> list[Decimal]:
    exponentials = [Decimal(value).exp() for value in logits]
    return [value / sum(exponentials) for value in exponentials]


@pytest.mark.parametrize("gap", [1.0, 10.0, 36.0, 37.0, 40.0, 100.0, 700.0])
def test_residuals_and_curvatures_of_saturated_samples_keep_their_digits(gap):
    """1 − p_y is 0 in float64 from a gap of 37 on; −Σ of the other p is not."""
    logits = [[gap, 0.0, -1.0], [0.0, gap, 0.5], [-1.0, 0.0, gap]]
    features = Features.of(np.ones((3, 2)), np.array(logits), np.array([0, 0, 2]))
    residuals = features.residuals()
    p = features.probabilities()
    curvatures = p * complements(p)
    with localcontext() as context:
        context.prec = 700
        for i, label in enumerate([0, 0, 2]):
            exact = exact_softmax(logits[i])
            for c in range(3):
                residual = exact[c] - (c == label)
                assert float(residuals[i, c]) == pytest.approx(float(residual), rel=1e-14)
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
    features = Features.of(z, f, np.zeros(20, dtype=int))
    p = features.probabilities()
    variance = product_variance(p * complements(p), features.augmented().square())  # [90, 5]
    top = np.argsort(-variance.flatten().numpy(), kind="stable")[:num_dims]
    h = ((p * (1 - p))[:, :, None] * features.augmented().square()[:, None, :]).flatten(1).numpy()
    asked: list[int] = []

    def counted(s: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        asked.append(s.shape[1])
        return product_variance(s, w)

    monkeypatch.setattr(closed_form, "product_variance", counted)
    monkeypatch.setattr(closed_form, "_CLASSES_AT_ONCE", 8)
    monkeypatch.setattr(closed_form, "_COLUMNS_AT_ONCE", 2)
    found = curvature_coordinates(features, num_dims).numpy()
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(h[:, top], axis=1), atol=1e-14)
    assert sharpness < 30 or sum(asked) < 3 * 90, "one class of many varies"


def test_equal_variances_go_to_the_lowest_coordinate():
    z = np.random.default_rng(3).normal(size=(30, 1)).repeat(5, axis=1)
    features = Features.of(z, np.tile([0.3, 0.1], (30, 1)), np.zeros(30, dtype=int))
    assert torch.equal(curvature_coordinates(features, 2), curvature_coordinates(features, 4)[:, :2])
    everything = curvature_coordinates(features, 100)
    assert everything.shape == (30, 2 * 6)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_overflows_is_refused(dtype):
    largest = float(np.finfo(dtype).max)
    random = np.random.default_rng(6)
    for size in (largest / 10, np.sqrt(largest), largest**0.25):
        z = (random.uniform(0.5, 1, size=(8, 3)) * size).astype(dtype)
        call = {"embeddings": z, "logits": random.normal(size=(8, 2)).astype(dtype), "labels": np.zeros(8, dtype=int)}
        try:
            coreset = select_coreset("LCMat", **call, fraction=0.5)
        except UserError as error:
            assert "too large" in str(error)
        else:
            assert len(coreset) == 4
            assert np.isfinite(coreset.gains).all()
    assert len(coreset) == 4, "the smallest of these sizes is not too large"


numbers = st.floats(width=32) | st.sampled_from([0.0, 2.0**-149, 2.0**-126, 2.0**100, 2.0**127])
ordinary = st.floats(-100, 100, width=32)


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Features of a few samples; one time in two the numbers are ordinary, and nearly always the lengths agree."""
    n = draw(st.integers(0, 6))
    elements = draw(st.sampled_from([numbers, ordinary]))
    lengths = draw(st.sampled_from([(n, n, n)] * 9 + [(n, n + 1, n)]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def matrix(rows: int) -> np.ndarray:
        return draw(arrays.arrays(np.float32, (rows, draw(st.integers(0, 3))), elements=elements)).astype(dtype)

    labels = draw(arrays.arrays(np.int16, lengths[2], elements=st.sampled_from([0, 0, 0, 1, 1, 2, -1])))
    return {"embeddings": matrix(lengths[0]), "logits": matrix(lengths[1]), "labels": labels}


@settings(deadline=None, max_examples=200)
@given(
    given_=inputs(),
    fraction=st.floats(-0.5, 1.5) | st.sampled_from([1.0, 0.5]),
    method=st.sampled_from(["LCMat", "Submodular", "AdaCore"]),
    greedy=st.sampled_from(list(GREEDIES)),
    balance=st.booleans(),
)
def test_any_input_gives_a_coreset_or_one_line(given_, fraction, method, greedy, balance):
    try:
        coreset = select_coreset(method, **given_, fraction=fraction, balance=balance, greedy=greedy)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert balance or len(coreset) == round(fraction * len(given_["labels"]))
        assert len(np.unique(coreset.indices)) == len(coreset)
        assert np.isfinite(coreset.gains).all()
