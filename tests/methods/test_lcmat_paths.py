"""Every way to compute the same selection, on random problems: held, on demand, batched, side by side, lazy, naive."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods import select_coreset
from methods.budgets import largest_remainder
from methods.features import Features
from methods.greedy.class_batches import batched_greedy
from methods.greedy.distances import CurvatureDistance
from methods.greedy.optimizers import lazy_greedy, naive_greedy
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.greedy.set_functions import FacilityLocation
from utils.errors import UserError

EPS, NUM_DIMS = 0.05, 6
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@st.composite
def problems(draw: st.DrawFn, tame: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, logits and labels in float64: of any scale, with copies, classes of any size; unless ``tame``,
    saturated ones and gradients of all sizes beside each other.
    """
    n, d, classes = draw(st.integers(1, 26)), draw(st.integers(1, 6)), draw(st.sampled_from([2, 3, 5, 100]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** draw(st.integers(-3, 3))
    sharpness = draw(st.sampled_from([0.1, 1.0, 3.0] if tame else [0.1, 10.0, 60.0]))
    spread = draw(st.sampled_from([0.0] if tame else [0.0, 2.0]))  # of the norms, in powers of ten
    z = scale * random.normal(size=(n, d)) * 10 ** (spread * random.normal(size=(n, 1)))
    z += draw(st.sampled_from([0.0, 10.0])) * scale
    f = sharpness * random.normal(size=(n, classes))
    y = random.integers(min(classes, 3), size=n)
    for _ in range(draw(st.integers(0, 3))):
        copy, of = random.integers(n, size=2)
        z[copy], f[copy], y[copy] = z[of], f[of], y[of]
    return z, f, y


def assert_greedy(matrix: np.ndarray, picks: list[int], precision: float = 1e-12) -> None:
    """Each pick has literally the largest gain after those before it, but for rounding, and no earlier copy."""
    nearest = np.full(len(matrix), matrix.max())
    rounding = precision * matrix.sum(axis=0).max()
    for step, pick in enumerate(picks):
        gains = np.maximum(0, nearest[:, None] - matrix).sum(axis=0)
        left = [j for j in range(len(matrix)) if j not in picks[:step]]
        assert gains[pick] >= gains[left].max() * (1 - 1e-9) - rounding
        assert not [j for j in left if j < pick and np.array_equal(matrix[j], matrix[pick])]
        nearest = np.minimum(nearest, matrix[:, pick])


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=60)
@given(problem=problems(), fraction=st.sampled_from([0.5, 0.8, 1.0]))
def test_every_path_selects_what_the_definition_says(device, problem, fraction):
    z, f, y = problem

    def select(greedy: str, memory_budget: int | None) -> np.ndarray:
        return select_coreset(
            "LCMat",
            embeddings=torch.tensor(z, device=device),
            logits=torch.tensor(f, device=device),
            labels=y,
            fraction=fraction,
            eps=EPS,
            num_dims=NUM_DIMS,
            greedy=greedy,
            memory_budget=memory_budget,
        ).indices

    sizes = dict(zip(*(values.tolist() for values in np.unique(y, return_counts=True)), strict=True))
    if min(largest_remainder(sizes, round(fraction * len(y))).values()) == 0:
        with pytest.raises(UserError, match=r"is enough|smallest that works"):
            select("LazyGreedy", None)
        return
    budgets = (None, 20_000, 5000, 1)
    found = [select(greedy, budget) for greedy in ("NaiveGreedy", "LazyGreedy") for budget in budgets]
    for other in found[1:]:
        assert other.tolist() == found[0].tolist()
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        matrix = literal.distances(*literal.dense_derivatives(z[members], f[members], y[members]), EPS, NUM_DIMS)
        picks = found[0][y[found[0]] == label]
        assert_greedy(matrix, np.searchsorted(members, picks).tolist())


@settings(deadline=None, max_examples=40)
@given(problem=problems(), dtype=st.sampled_from([torch.float32, torch.float64]), room=st.integers(1, 40_000))
def test_batched_classes_are_single_ones_in_either_precision(problem, dtype, room):
    z, f, y = problem
    features = Features.of(torch.tensor(z).to(dtype), torch.tensor(f), y)
    classes = [(features.labels == label).nonzero()[:, 0] for label in features.labels.unique()]
    distances = [CurvatureDistance(features.subset(members), EPS, NUM_DIMS) for members in classes]
    budgets = [-(-len(members) // 2) for members in classes]
    batched = batched_greedy(distances, [[budget] for budget in budgets], torch.device("cpu"), room)
    for distance, budget, (together,) in zip(distances, budgets, batched, strict=True):
        for greedy in (naive_greedy, lazy_greedy):
            for memory_budget in (None, 1):
                alone = greedy(FacilityLocation(PairwiseMatrix(distance, memory_budget)), budget)
                assert alone.indices.tolist() == together.indices.tolist()
                np.testing.assert_allclose(alone.gains, together.gains, rtol=1e-5, atol=float(distance.rounding))


@settings(deadline=None, max_examples=40)
@given(problem=problems(tame=True))
def test_every_pick_in_float32_is_literally_the_best_but_for_its_rounding(problem):
    z, f, y = (problem[0].astype(np.float32), problem[1].astype(np.float32), np.zeros_like(problem[2]))
    matrix = literal.distances(*literal.dense_derivatives(z.astype(np.float64), f.astype(np.float64), y), EPS, NUM_DIMS)
    coreset = select_coreset(
        "LCMat", embeddings=z, logits=f, labels=y, fraction=-(-len(y) // 3) / len(y), eps=EPS, num_dims=NUM_DIMS
    )
    assert_greedy(matrix, coreset.indices.tolist(), precision=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_samples_all_equally_far_apart_are_picked_in_their_order(n, dtype):
    """Every gain is tied and every bound as tight as it gets, whichever way √2 is rounded."""
    for scale in (1.0, 0.3, 7.7):
        z = scale * torch.eye(n, dtype=dtype)
        features = Features.of(z, torch.zeros(n, 2, dtype=dtype), torch.zeros(n, dtype=torch.int64))
        distance = CurvatureDistance(features, 0.0, 1)
        for greedy in (naive_greedy, lazy_greedy):
            for memory_budget in (None, 1):
                picks = greedy(FacilityLocation(PairwiseMatrix(distance, memory_budget)), n)
                assert picks.indices.tolist() == list(range(n))


@pytest.mark.parametrize("seed", range(30))
def test_the_first_pick_in_float32_sees_past_an_outlier(seed):
    """An outlier's distance, rounded to float32, is coarser than all that sets the others apart."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(60, 5)).astype(np.float32)
    z[0] *= 1e7
    f = np.zeros((60, 2), dtype=np.float32)
    f[:, 0] = random.normal(size=60)
    y = np.zeros(60, dtype=np.int64)
    matrix = literal.distances(*literal.dense_derivatives(z.astype(float), f.astype(float), y), 0.0, 1)
    single, double = (
        select_coreset(
            "LCMat", embeddings=z.astype(dtype), logits=f, labels=y, fraction=0.1, eps=0.0, num_dims=1
        ).indices.tolist()
        for dtype in (np.float32, np.float64)
    )
    assert single[0] == int(matrix.sum(axis=0).argmin())
    assert single == double


@pytest.mark.parametrize("offset", [1.0, 7.0, 1e3])
@pytest.mark.parametrize("greedy", [naive_greedy, lazy_greedy])
def test_picks_do_not_depend_on_the_offset(offset, greedy):
    random = np.random.default_rng(1)
    features = Features.of(random.normal(size=(50, 4)), random.normal(size=(50, 3)), np.zeros(50, dtype=int))
    matrix = PairwiseMatrix(CurvatureDistance(features, EPS, NUM_DIMS))
    expected = naive_greedy(FacilityLocation(matrix), 20).indices.tolist()
    assert greedy(FacilityLocation(matrix, offset * matrix.maximum), 20).indices.tolist() == expected
