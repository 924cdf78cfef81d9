"""The released code's selection against its words, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.base import SelectionInputs
from methods.features import Features
from methods.lcmat import LCMat
from methods.released import released_picks
from methods.select import select_nested
from utils.errors import UserError


def scored(n: int, batch: int, classes: int = 3, dim: int = 4, seed: int = 0) -> Features:
    """Random features of one class, scored in batches."""
    random = torch.Generator().manual_seed(seed)
    shares = torch.cat([torch.full((len(part),), 1 / len(part)) for part in torch.arange(n).split(batch)])
    z, f = torch.randn(n, dim, generator=random), 2 * torch.randn(n, classes, generator=random)
    return Features(z, f, torch.ones(n, dtype=torch.int64), shares)


def literal(features: Features, batch: int, eps: float, num_dims: int, budget: int) -> list[int]:
    """Autograd of each batch's mean loss, sample by sample; plain loops for the rest; float32 throughout."""
    n, d = features.embeddings.shape
    classes = features.logits.shape[1]
    gradients, curvatures = [], []
    for start in range(0, n, batch):
        members = range(start, min(start + batch, n))
        for i in members:
            z = torch.cat([torch.ones(1), features.embeddings[i]])
            weight = torch.linalg.lstsq(z[None], features.logits[i][None]).solution.T.clone()  # some W with W z = f

            def loss(flat: torch.Tensor, z: torch.Tensor = z, i: int = i, b: int = len(members)) -> torch.Tensor:
                return torch.nn.functional.cross_entropy(flat.view(classes, d + 1) @ z, features.labels[i]) / b

            at = weight.flatten().requires_grad_()
            gradients.append(torch.autograd.grad(loss(at), at)[0])
            curvatures.append(torch.autograd.functional.hessian(loss, at).diagonal())
    g, h = torch.stack(gradients), torch.stack(curvatures)
    kept = np.argsort(-h.numpy().var(axis=0), kind="stable")[:num_dims]
    similarity = np.zeros((n, n), dtype=np.float32)
    for i in range(n):
        for j in range(n):
            distance = (g[i] - g[j]).norm() + eps * sum(float((h[i, k] - h[j, k]).abs()) for k in kept)
            similarity[i, j] = 10 - distance
    picked: list[int] = []
    for _ in range(budget):
        best = [max([0.0, *(similarity[i, s] for s in picked)]) for i in range(n)]
        gains = [sum(max(0.0, similarity[i, j] - best[i]) for i in range(n)) for j in range(n)]
        left = [j for j in range(n) if j not in picked]
        picked.append(max(left, key=lambda j: gains[j]))
    return sorted(picked)


@pytest.mark.parametrize(("n", "batch"), [(20, 8), (17, 5), (12, 12), (9, 1)])
@pytest.mark.parametrize("eps", [0.0, 0.05, 1.0])
def test_the_literal_twin(n, batch, eps):
    features = scored(n, batch, seed=n + batch)
    picks = released_picks(features, eps, 6, 4)
    assert picks.indices.tolist() == literal(features, batch, eps, 6, 4)


def test_a_partial_batch_weighs_more():
    features = scored(33, 16)
    assert 32 in released_picks(features, 0.01, 6, 1).indices or 32 in released_picks(features, 0.01, 6, 2).indices


def test_it_is_an_option_of_lcmat():
    features = scored(20, 8)
    inputs = SelectionInputs(features.labels, features)
    method = LCMat(released=True, eps=0.05, num_dims=6)
    coresets = select_nested(method, inputs, [{0: 2}, {0: 4}])
    for coreset, budget in zip(coresets, (2, 4), strict=True):
        assert coreset.indices.tolist() == released_picks(features, 0.05, 6, budget).indices.tolist()


def test_features_without_batches_are_refused():
    features = scored(20, 8)
    with pytest.raises(UserError, match="--released"):
        released_picks(Features(features.embeddings, features.logits, features.labels), 0.05, 6, 2)
    with pytest.raises(UserError, match="weights"):
        LCMat(released=True, weighted=True)
