"""Certificates of coresets, against autograd and a search of its own."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.landscape.certificate import Certificate, random_coresets, usual_radius


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    z = torch.randn(40, 3, generator=random, dtype=torch.float64)
    f = 2 * torch.randn(40, 4, generator=random, dtype=torch.float64)
    return z, f, torch.arange(40) % 4


@pytest.fixture
def coreset() -> Coreset:
    return Coreset(np.array([0, 1, 2, 3, 8, 30]), np.array([1.0, 2.0, 1.0, 0.5, 3.0, 1.0]))


def literal_difference(features, coreset: Coreset, flat: torch.Tensor) -> torch.Tensor:
    """L(T) − L(S) where the last layer [bias, weights] is changed by ``flat``."""
    z, f, y = features
    change = flat.view(4, 4)
    losses = F.cross_entropy(f + z @ change[:, 1:].T + change[:, 0], y, reduction="none")
    weights = torch.ones(len(coreset)) if coreset.weights is None else torch.tensor(coreset.weights)
    return losses.mean() - (losses[torch.tensor(coreset.indices)] * weights.double()).sum() / weights.double().sum()


def literal_worst(features, coreset: Coreset, radius: float) -> float:
    """The best of many ascents with small steps."""
    random = torch.Generator().manual_seed(1)
    zero = float(literal_difference(features, coreset, torch.zeros(16, dtype=torch.float64)).abs())
    worst = 0.0
    for sign in (1, -1):
        for _ in range(2):
            point = torch.randn(16, generator=random, dtype=torch.float64)
            point *= radius / point.norm() / 2
            for _ in range(250):
                at = point.clone().requires_grad_()
                (slope,) = torch.autograd.grad(sign * literal_difference(features, coreset, at), at)
                point = point + 0.1 * radius * slope / slope.norm()
                point *= min(1.0, radius / float(point.norm()))
            worst = max(worst, abs(float(literal_difference(features, coreset, point))) - zero)
    return worst


def test_a_certificate_says_what_autograd_and_a_plain_search_say(features, coreset):
    found = coreset.certificate(*features, radius=0.8)
    at = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    value = literal_difference(features, coreset, at)
    (gradient,) = torch.autograd.grad(value, at)
    hessian = torch.autograd.functional.hessian(lambda flat: literal_difference(features, coreset, flat), at.detach())
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert (found.samples, found.size, found.random) == (40, 6, 20)
    assert found.loss == pytest.approx(-float(value.detach()), rel=1e-4)
    assert found.gradient == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert found.curvature == pytest.approx(float(eigenvalues[-1]), rel=2e-3)
    bound = 0.8 * float(gradient.norm()) + 0.32 * float(eigenvalues.abs().max())
    assert found.bound == pytest.approx(bound, rel=2e-3)
    assert found.worst == pytest.approx(literal_worst(features, coreset, 0.8), rel=2e-3)


def test_the_percentile_counts_random_coresets_that_are_better(features, coreset):
    z, f, y = features
    found = coreset.certificate(z, f, y, radius=0.8, random=5, seed=3)
    others = [
        Coreset(each.numpy()) for each in random_coresets(y, y[coreset.indices.tolist()].bincount().tolist(), 5, seed=3)
    ]
    worst = [other.certificate(z, f, y, radius=0.8, random=2).worst for other in others]
    assert found.random_mean == pytest.approx(np.mean(worst), rel=1e-3)
    assert found.random_std == pytest.approx(np.std(worst, ddof=1), rel=1e-3)
    assert found.percentile == 20 * sum(each < found.worst for each in worst)
    assert len({round(each, 6) for each in worst}) == 5


def test_random_coresets_have_as_many_of_each_class(features, coreset):
    y = features[2]
    for other in random_coresets(y, [3, 0, 1, 2], 4, seed=0):
        assert y[other].bincount(minlength=4).tolist() == [3, 0, 1, 2]
        assert len(set(other.tolist())) == 6


def test_the_whole_set_is_its_own_perfect_coreset(features):
    found = Coreset(np.arange(40)).certificate(*features)
    assert found.gradient == pytest.approx(0, abs=1e-12)
    assert found.worst == pytest.approx(0, abs=1e-12)
    assert found.percentile == 0


def test_the_usual_radius_moves_logits_by_about_one(features):
    z = features[0]
    expected = 1 / np.sqrt(np.mean([1 + float(row @ row) for row in z]))
    assert usual_radius(z) == pytest.approx(expected, rel=1e-12)
    assert Coreset(np.array([1])).certificate(*features).radius == pytest.approx(expected, rel=1e-4)


def test_arrays_and_float32_give_the_same(features, coreset):
    exact = coreset.certificate(*features)
    arrays = coreset.certificate(*(each.numpy() for each in features))
    single = coreset.certificate(features[0].float(), features[1].float().numpy(), features[2].tolist())
    assert arrays == exact
    for name, value in dataclasses.asdict(exact).items():
        assert getattr(single, name) == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"radius": 0}, "finite number above 0, not 0"),
        ({"radius": float("nan")}, "finite number above 0, not nan"),
        ({"random": 1}, "at least 2 random coresets"),
        ({"logits": np.zeros((39, 4))}, "differ in length"),
        ({"logits": None}, "takes embeddings and logits"),
        ({"embeddings": None}, "takes embeddings and logits"),
        ({"embeddings": np.full((40, 3), np.nan)}, "NaN"),
        (
            {"embeddings": np.zeros((20, 3)), "logits": np.zeros((20, 4)), "labels": np.zeros(20, int)},
            "only 20 samples",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(features, coreset, change, said):
    given = dict(zip(("embeddings", "logits", "labels"), features, strict=True)) | change
    with pytest.raises(UserError, match=said) as error:
        coreset.certificate(**given)
    assert "\n" not in str(error.value)


def test_an_empty_coreset_and_one_of_no_weight_have_none(features):
    with pytest.raises(UserError, match="empty coreset"):
        Coreset(np.array([], dtype=np.int64)).certificate(*features)
    with pytest.raises(UserError, match="all 0"):
        Coreset(np.array([1, 2]), np.zeros(2)).certificate(*features)


def test_a_coreset_s_file_keeps_its_certificate(features, coreset, tmp_path):
    certified = dataclasses.replace(coreset, certified=coreset.certificate(*features))
    certified.save(tmp_path / "coreset.npz")
    loaded = Coreset.load(tmp_path / "coreset.npz")
    assert loaded.certified == certified.certified
    assert loaded.digest() == coreset.digest()
    assert certified.mapped(np.arange(100, 140)).certified == certified.certified
    assert certified.at(np.arange(2)).certified is None
    values = dataclasses.asdict(certified.certified)
    for damaged in ({**values, "worst": "low"}, {"worst": 1.0}, [1, 2]):
        np.savez(tmp_path / "damaged.npz", indices=coreset.indices, certificate=np.array(json.dumps(damaged)))
        with pytest.raises(UserError, match="certificate"):
            Coreset.load(tmp_path / "damaged.npz")
    assert Certificate.from_dict(values) == certified.certified
