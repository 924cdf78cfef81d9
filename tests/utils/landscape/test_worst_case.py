"""The worst case in a ball, against a brute-force search over a fine net of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from utils.landscape.last_layer import LastLayerDifferences
from utils.landscape.worst_case import second_order_bound, worst_changes


def problem(seed: int, n: int = 12, d: int = 1, classes: int = 2, scale: float = 1.0):
    random = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(n, d, generator=random, dtype=torch.float64)
    f = 2 * torch.randn(n, classes, generator=random, dtype=torch.float64)
    y = torch.randint(classes, (n,), generator=random)
    shares = torch.full((2, n), 1 / n, dtype=torch.float64)
    shares[0, :3] -= 1 / 3
    shares[1, [4, 7]] -= torch.tensor([0.25, 0.75], dtype=torch.float64)
    return LastLayerDifferences(z, f, y, shares)


def literal_value(z, f, y, shares, epsilon) -> float:
    """D(ε), sample by sample: logits are recomputed by the changed layer."""
    total = 0.0
    for sample in range(len(y)):
        logits = f[sample] + epsilon[:, 1:] @ z[sample] + epsilon[:, 0]
        total += float(shares[sample]) * float(F.cross_entropy(logits[None], y[sample : sample + 1]))
    return total


def test_values_gradients_and_hessian_products_are_those_of_autograd():
    differences = problem(0, n=9, d=3, classes=4)
    z, f, y, shares = differences.embeddings, differences.logits, differences.labels, differences.shares
    epsilon = torch.randn(2, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    values, gradients = differences(epsilon)
    products = differences.hessian_products(epsilon)
    for b in range(2):

        def difference(flat, row=shares[b]):
            change = flat.view(4, 4)
            return F.cross_entropy(f + z @ change[:, 1:].T + change[:, 0], y, reduction="none") @ row

        at = epsilon[b].clone().requires_grad_()

        assert float(values[b]) == pytest.approx(literal_value(z, f, y, shares[b], epsilon[b].view(4, 4)), rel=1e-12)
        assert torch.allclose(gradients[b], torch.autograd.grad(difference(at), at)[0], atol=1e-13)
        hessian = torch.autograd.functional.hessian(difference, torch.zeros(16, dtype=torch.float64))
        assert torch.allclose(products[b], hessian @ epsilon[b], atol=1e-13)


def test_chunks_change_nothing(monkeypatch):
    differences = problem(1, n=20, d=3, classes=4)
    epsilon = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole, products = differences(epsilon), differences.hessian_products(epsilon)
    monkeypatch.setattr("utils.landscape.last_layer._NUMBERS", 3 * 2 * 4)
    parts = differences(epsilon)
    assert torch.allclose(parts[0], whole[0], atol=1e-14)
    assert torch.allclose(parts[1], whole[1], atol=1e-14)
    assert torch.allclose(differences.hessian_products(epsilon), products, atol=1e-14)


def brute_force(differences: LastLayerDifferences, radius: float, b: int) -> float:
    """The largest |D(ε)| − |D(0)| over a net of the ball in ε ∈ R⁴.

    Two classes and one embedding: the logits' difference alone matters, so ε moves in the plane (bias, weight) of
    half their difference, where ‖ε‖ ≤ ρ is a disc of radius ρ. The net has 100 radii and 400 angles.
    """
    z, f, y, a = differences.embeddings[:, 0], differences.logits, differences.labels, differences.shares[b]
    sign = 1 - 2 * y.double()  # the loss is log(1 + exp(sign · (f₁ − f₀)))
    radii = torch.linspace(0, radius, 100, dtype=torch.float64)
    angles = torch.linspace(0, 2 * math.pi, 400, dtype=torch.float64)
    worst = -math.inf
    for r in radii:
        # ε = (−u, −w, u, w) has the norm √2 ‖(u, w)‖, and moves f₁ − f₀ by 2 (u + w z)
        u, w = r * angles.cos() / math.sqrt(2), r * angles.sin() / math.sqrt(2)
        margin = (f[:, 1] - f[:, 0])[:, None] + 2 * (u + z[:, None] * w)  # [n, angles]
        value = F.softplus(sign[:, None] * margin).T @ a
        worst = max(worst, float(value.abs().max()))
        if r == 0:
            zero = float(value[0].abs())
    return worst - zero


@pytest.mark.parametrize("radius", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_worst_case_is_that_of_a_brute_force_search(seed, radius):
    differences = problem(seed, scale=1.5)
    found = worst_changes(differences, torch.zeros(2, 4, dtype=torch.float64), radius, starts=4)
    for b in range(2):
        expected = brute_force(differences, radius, b)
        assert float(found[b]) == pytest.approx(expected, rel=2e-3, abs=1e-6), (b, radius)


@pytest.mark.parametrize("seed", range(4))
def test_no_random_point_of_the_ball_is_worse(seed):
    differences = problem(seed, n=15, d=5, classes=3)
    zero = torch.zeros(2, 18, dtype=torch.float64)
    found = worst_changes(differences, zero, 1.5, starts=2)
    at_zero = differences(zero)[0].abs()
    random = torch.Generator().manual_seed(seed)
    for _ in range(300):
        point = torch.randn(2, 18, generator=random, dtype=torch.float64)
        point *= 1.5 * torch.rand(2, 1, generator=random) ** (1 / 18) / point.norm(dim=1, keepdim=True)
        assert bool((differences(point)[0].abs() - at_zero <= found + 1e-12).all())


def test_within_a_small_ball_the_second_order_bound_holds_and_is_near():
    differences = problem(3, n=15, d=4, classes=3)
    zero = torch.zeros(2, 15, dtype=torch.float64)
    gradients = differences(zero)[1].norm(dim=1)
    hessians = [
        np.stack([differences.hessian_products(torch.stack([v, v]))[b].numpy() for v in torch.eye(15).double()])
        for b in range(2)
    ]
    for radius in (1e-3, 1e-2):
        found = worst_changes(differences, zero, radius)
        for b in range(2):
            curvature = float(np.abs(np.linalg.eigvalsh(hessians[b])).max())
            most = second_order_bound(float(gradients[b]), curvature, radius)
            assert float(found[b]) <= most * (1 + 1e-3)
            assert float(found[b]) >= float(gradients[b]) * radius * (1 - 0.1)


def test_no_difference_has_no_worst_case():
    differences = problem(0)
    same = LastLayerDifferences(
        differences.embeddings, differences.logits, differences.labels, torch.zeros_like(differences.shares)
    )
    assert worst_changes(same, torch.zeros(2, 4, dtype=torch.float64), 1.0, starts=2).tolist() == [0.0, 0.0]
