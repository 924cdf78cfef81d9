"""Mean losses over a grid, against a literal double loop over points and images in float64."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from experiments.landscape.directions import random_direction
from experiments.landscape.surface import Shares, coordinates, image_losses, mean_losses, moved, sample, standard_error
from utils.data.batches import Batch
from utils.data.coreset import Coreset


@pytest.fixture
def network() -> nn.Module:
    """A network with a normalisation whose running statistics are not those of the images, in float64."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 4)
    ).double()
    network.train()
    network(3 + 2 * torch.randn(20, 1, 6, 6, dtype=torch.float64))
    return network.eval()


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(23, 1, 6, 6, generator=random, dtype=torch.float64)
    return x, torch.randint(4, (23,), generator=random)


CORESETS = (Coreset(np.array([7, 2, 19])), Coreset(np.array([0, 19, 22, 5]), np.array([1.0, 0.5, 3.0, 0.0])))


def literal_losses(network, images, directions, point, members, weights):
    """One network per point, moved parameter by parameter; one image at a time."""
    there = copy.deepcopy(network)
    at = 0
    for parameter in there.parameters():
        size = parameter.numel()
        for direction, step in zip(directions, point, strict=True):
            parameter.data += step * direction[at : at + size].view(parameter.shape)
        at += size
    total = 0.0
    for member, weight in zip(members, weights, strict=True):
        p = there(images[0][member][None]).detach().softmax(dim=1)[0]
        total += weight * -float(p[images[1][member]].log())
    return total / sum(weights)


def batches(images: tuple[torch.Tensor, torch.Tensor], indices: torch.Tensor) -> list[Batch]:
    return [Batch(images[0][at], images[1][at], at, at, None) for at in indices.split(5)]


def test_losses_are_those_of_a_double_loop(network, images):
    pool = torch.tensor([place for place in range(23) if place not in (3, 11)])
    shares = Shares.of(pool, CORESETS)
    parameters = list(network.parameters())
    directions = (random_direction(parameters, 0, 0), random_direction(parameters, 0, 1))
    points = coordinates(0.7, 3)
    rows = list(mean_losses(network, batches(images, shares.indices), shares.shares, 21, directions, points))
    sides = ((pool.tolist(), [1.0] * 21), ([7, 2, 19], [1.0] * 3), ([0, 19, 22, 5], [1.0, 0.5, 3.0, 0.0]))
    assert len(rows) == 9
    for point, row in zip(points, rows, strict=True):
        expected = [literal_losses(network, images, directions, point, *side) for side in sides]
        assert row[:-1] == pytest.approx(expected, rel=1e-10), point
        assert row[-1] == 0  # all of the full set is there


def test_the_grid_goes_from_minus_radius_to_radius_row_by_row():
    assert coordinates(2.0, 3) == [
        *((-2.0, -2.0), (0.0, -2.0), (2.0, -2.0)),
        *((-2.0, 0.0), (0.0, 0.0), (2.0, 0.0)),
        *((-2.0, 2.0), (0.0, 2.0), (2.0, 2.0)),
    ]


def test_each_point_costs_one_pass_and_leaves_the_network_as_it_was(network, images):
    class Counted(list):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    before = {name: value.clone() for name, value in network.state_dict().items()}
    shares = Shares.of(torch.arange(23), CORESETS)
    direction = random_direction(list(network.parameters()), 0, 0)
    looked = Counted(batches(images, shares.indices))
    list(mean_losses(network, looked, shares.shares, 23, (direction, direction), coordinates(1.0, 5)))
    assert Counted.passes == 25
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_an_interruption_leaves_the_network_as_it_was(network):
    before = [parameter.clone() for parameter in network.parameters()]
    offset = torch.ones(sum(parameter.numel() for parameter in before), dtype=torch.float64)
    with pytest.raises(KeyboardInterrupt), moved(network, offset):
        assert not torch.equal(before[0], next(network.parameters()))
        raise KeyboardInterrupt
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_shares_of_a_sample_hold_all_of_the_coresets():
    pool = torch.arange(0, 100, 2)
    part = sample(pool, 10, seed=0)
    assert len(part) == 10
    assert set(part.tolist()) <= set(pool.tolist())
    assert torch.equal(sample(pool, 10, seed=0), part)
    assert not torch.equal(sample(pool, 10, seed=1), part)
    assert torch.equal(sample(pool, 50, seed=0), pool)
    shares = Shares.of(part, CORESETS)
    assert set(shares.indices.tolist()) == {*part.tolist(), 7, 2, 19, 0, 22, 5}
    assert shares.shares.sum(dim=1).tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert float(shares.shares[2, shares.indices == 22]) == pytest.approx(3 / 4.5)


def test_the_standard_error_is_the_spread_of_the_means_of_all_samples():
    """Of every set of 3 out of 6 losses: the mean squared error of the mean is that of the estimates, on average."""
    losses = torch.tensor([0.1, 0.5, 0.2, 3.0, 1.0, 0.7], dtype=torch.float64)
    samples = [losses[list(chosen)] for chosen in itertools.combinations(range(6), 3)]
    spread = sum(float(part.mean() - losses.mean()) ** 2 for part in samples) / len(samples)
    assert sum(standard_error(part, 6) ** 2 for part in samples) / len(samples) == pytest.approx(spread, rel=1e-12)
    assert standard_error(losses, 6) == 0


def test_the_error_of_the_full_set_is_of_its_images_alone(network, images):
    shares = Shares.of(torch.tensor([1, 4, 9]), CORESETS)
    direction = random_direction(list(network.parameters()), 0, 0)
    (row,) = mean_losses(
        network, batches(images, shares.indices), shares.shares, 23, (direction, direction), [(0.0, 0.0)]
    )
    assert row[-1] == pytest.approx(standard_error(image_losses(network, batches(images, torch.tensor([1, 4, 9]))), 23))


def test_losses_are_cross_entropies(network, images):
    losses = image_losses(network, batches(images, torch.arange(23)))
    with torch.no_grad():
        expected = F.cross_entropy(network(images[0]), images[1], reduction="none")
    assert torch.allclose(losses, expected, rtol=1e-12)
