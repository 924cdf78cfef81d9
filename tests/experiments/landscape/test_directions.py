"""Directions of the landscape: their lengths filter by filter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from experiments.landscape.directions import random_direction


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5), nn.GroupNorm(1, 5)
    )
    with torch.no_grad():
        network[0].weight[2] = 0  # a dead filter
    return network


def shaped(network: nn.Module, direction: torch.Tensor) -> dict[str, torch.Tensor]:
    """A direction in the shapes of the parameters."""
    flat = {name: parameter.clone() for name, parameter in network.named_parameters()}
    vector_to_parameters(direction, flat.values())
    return flat


def test_each_filter_of_a_direction_is_as_long_as_the_network_s(network):
    direction = shaped(network, random_direction(list(network.parameters()), seed=0, number=0))
    for name, parameter in network.named_parameters():
        for place in range(len(parameter)):
            filter_of, own = direction[name][place], parameter[place]
            expected = own.norm() if parameter.ndim > 1 else torch.tensor(0.0)
            assert filter_of.norm().item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-7), (name, place)


def test_directions_are_random_and_drawn_by_seed_and_number(network):
    parameters = list(network.parameters())
    first = random_direction(parameters, 0, 0)
    assert torch.equal(first, random_direction(parameters, 0, 0))
    for other in (random_direction(parameters, 0, 1), random_direction(parameters, 1, 0)):
        cosine = float(first @ other / first.norm() / other.norm())
        assert abs(cosine) < 0.4
        assert not torch.equal(first, other)


def test_directions_have_the_parameters_dtype_and_places(network):
    parameters = list(network.double().parameters())
    direction = random_direction(parameters, 0, 0)
    assert direction.dtype == torch.float64
    assert direction.shape == parameters_to_vector(parameters).shape
