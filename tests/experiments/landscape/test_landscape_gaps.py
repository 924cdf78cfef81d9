"""Gaps between a coreset's loss landscape and the full set's, against dense Hessians."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from experiments.landscape.gaps import last_layer_gaps, whole_network_gaps
from experiments.landscape.surface import Shares
from methods.features import Features
from utils.data.batches import Batch
from utils.data.coreset import Coreset


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, nn.Linear]:
    random = torch.Generator().manual_seed(0)
    z = torch.randn(30, 4, generator=random, dtype=torch.float64)
    y = torch.randint(3, (30,), generator=random)
    layer = nn.Linear(4, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 4, generator=random, dtype=torch.float64))
        layer.bias.copy_(torch.randn(3, generator=random, dtype=torch.float64))
    return z, y, layer


def dense_gaps(z: torch.Tensor, y: torch.Tensor, layer: nn.Linear, part: torch.Tensor, weights: torch.Tensor):
    """Gradient norm, largest Hessian eigenvalue and loss of the difference, by autograd over all parameters."""

    def difference(flat: torch.Tensor) -> torch.Tensor:
        logits = z @ flat[:12].view(3, 4).T + flat[12:]  # [n, 3]
        losses = F.cross_entropy(logits, y, reduction="none")
        return losses.mean() - (losses[part] * weights).sum() / weights.sum()

    at = torch.cat([layer.weight.flatten(), layer.bias]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(difference(at), at)
    hessian = torch.autograd.functional.hessian(difference, at.detach())
    return float(gradient.norm()), float(torch.linalg.eigvalsh(hessian)[-1]), -float(difference(at).detach())


@pytest.mark.parametrize("weighted", [False, True])
def test_both_forms_agree_with_dense_autograd(problem, weighted):
    z, y, layer = problem
    part = torch.tensor([3, 7, 8, 21])
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0]) if weighted else None
    gradient, curvature, loss = dense_gaps(z, y, layer, part, torch.ones(4) if weights is None else weights)
    with torch.no_grad():
        full = Features.of(z, layer(z), y)
    coreset = Coreset(part.numpy(), None if weights is None else weights.numpy())
    shares = Shares.of(torch.arange(30), [coreset]).difference(1)
    closed = last_layer_gaps(full, shares)
    whole = whole_network_gaps(layer, batches(z, y, 7), shares)
    for gaps in (closed, whole):
        assert gaps.gradient == pytest.approx(gradient, rel=1e-6)
        assert gaps.curvature == pytest.approx(curvature, rel=1e-3)
        assert gaps.loss == pytest.approx(loss, rel=1e-6)


def test_the_full_set_has_no_gaps_with_itself(problem):
    z, y, layer = problem
    with torch.no_grad():
        full = Features.of(z, layer(z), y)
    gaps = last_layer_gaps(full, Shares.of(torch.arange(30), [Coreset(np.arange(30))]).difference(1))
    assert gaps.gradient == pytest.approx(0, abs=1e-12)
    assert gaps.curvature == pytest.approx(0, abs=1e-12)
    assert gaps.loss == pytest.approx(0, abs=1e-12)


def batches(x: torch.Tensor, y: torch.Tensor, size: int) -> list[Batch]:
    """Plain batches of ``size`` (the last one smaller)."""
    return [Batch(x[at], y[at], at, at, None) for at in torch.arange(len(y)).split(size)]
