"""The difference of losses by all parameters, against autograd over everything and a brute-force search."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from experiments.landscape.surface import Shares
from experiments.landscape.whole_network import WholeNetworkDifference
from utils.data.batches import Batch
from utils.data.coreset import Coreset
from utils.landscape.eigenvalues import largest_eigenvalue, largest_magnitude, sharpest_directions
from utils.landscape.last_layer import LastLayerDifferences
from utils.landscape.worst_case import worst_changes

CORESET = Coreset(np.array([1, 5, 6, 12]), np.array([1.0, 0.5, 2.0, 1.0]))


def images(inputs: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(18, inputs, generator=random, dtype=torch.float64)
    return x, torch.randint(classes, (18,), generator=random)


def difference_of(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> WholeNetworkDifference:
    batches = [Batch(x[at], y[at], at, at, None) for at in torch.arange(18).split(7)]
    return WholeNetworkDifference(module, batches, Shares.of(torch.arange(18), [CORESET]).difference(1))


def literal_value(module: nn.Module, x: torch.Tensor, y: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """L(T) − L(S) at the parameters ``flat``, by a copy of the network that has them."""
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    parts = flat.split([shape.numel() for shape in shapes.values()])
    given = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    losses = F.cross_entropy(torch.func.functional_call(module, given, (x,)), y, reduction="none")
    weights = torch.tensor(CORESET.weights, dtype=torch.float64)
    return losses.mean() - (losses[torch.tensor(CORESET.indices)] * weights).sum() / weights.sum()


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def test_value_gradient_and_hessian_are_those_of_autograd(network):
    x, y = images(3, 3)
    difference = difference_of(network, x, y)
    theta = parameters_to_vector(network.parameters()).detach()
    epsilon = 0.3 * torch.randn(len(theta), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    value, gradient = difference(epsilon[None])
    at = (theta + epsilon).requires_grad_()
    expected = literal_value(network, x, y, at)
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-10)
    assert torch.allclose(gradient[0], torch.autograd.grad(expected, at)[0], atol=1e-12)
    hessian = torch.autograd.functional.hessian(lambda flat: literal_value(network, x, y, flat), theta).numpy()
    assert np.allclose(difference.hessian_product(epsilon.numpy()), hessian @ epsilon.numpy(), atol=1e-12)
    assert torch.equal(parameters_to_vector(network.parameters()), theta)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    assert largest_eigenvalue(difference.hessian_product, len(theta)) == pytest.approx(eigenvalues[-1], rel=1e-3)
    magnitude = np.abs(eigenvalues).max()
    assert largest_magnitude(difference.hessian_product, len(theta)) == pytest.approx(magnitude, rel=1e-3)
    order = np.argsort(-np.abs(eigenvalues))
    sharpest = sharpest_directions(difference.hessian_product, len(theta))
    for found, place in zip(sharpest, order[:2], strict=True):
        assert np.linalg.norm(found) == pytest.approx(1)
        assert abs(found @ vectors[:, place]) == pytest.approx(1, abs=1e-2)


def test_the_worst_case_of_a_linear_network_is_that_of_its_last_layer():
    torch.manual_seed(3)
    x, y = images(3, 3)
    layer = nn.Linear(3, 3).double()
    whole = difference_of(layer, x, y)
    with torch.no_grad():
        last = LastLayerDifferences(x, layer(x), y, whole.shares[None])
    for radius in (0.1, 2.0):
        expected = worst_changes(last, torch.zeros(1, 12, dtype=torch.float64), radius, 3)
        assert float(worst_changes(whole, whole.zero, radius, 3)) == pytest.approx(float(expected), rel=1e-3)


class TwoParameters(nn.Module):
    """A network that is not linear in its two parameters, which a net over the disc can search."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))
        self.outer = nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.outer * torch.tanh(self.inner * x[:, 0] + 0.3 * x[:, 1])
        return torch.stack([f, -f + 0.2 * self.inner], dim=1)


@pytest.mark.parametrize("radius", [0.2, 1.5])
def test_the_worst_case_of_all_layers_is_that_of_a_brute_force_search(radius):
    x, y = images(2, 2)
    module = TwoParameters()
    difference = difference_of(module, x, y)
    found = float(worst_changes(difference, difference.zero, radius, starts=3))
    there, start = copy.deepcopy(module), torch.tensor([0.8, -0.5], dtype=torch.float64)
    zero = abs(float(literal_value(module, x, y, start).detach()))
    worst = 0.0
    for r in np.linspace(0.05, 1, 20):
        for angle in np.linspace(0, 2 * math.pi, 120):
            point = start + radius * r * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
            vector_to_parameters(point, there.parameters())
            with torch.no_grad():
                worst = max(worst, abs(float(literal_value(there, x, y, point))) - zero)
    assert found == pytest.approx(worst, rel=5e-3)
