"""Work that threads would not make faster runs on one."""

from __future__ import annotations

import pytest
import torch

import nets
from utils.threads import small_training


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_of_training(name: str, size: int, batch: int) -> int:
    with small_training(nets.build(name, 3, 10, size), (batch, 3, size, size)):
        return torch.get_num_threads()


def test_small_steps_are_taken_by_one_thread(two_threads):
    assert threads_of_training("MLP", 8, 32) == 1
    assert threads_of_training("LeNet", 28, 4) == 1
    assert torch.get_num_threads() == 2


def test_larger_ones_by_all(two_threads):
    assert threads_of_training("MLP", 32, 128) == 2
    assert threads_of_training("ResNet8", 32, 64) == 2


@pytest.mark.parametrize("name", sorted(nets.NETWORKS))
def test_any_network_is_counted_and_left_as_it_is(name):
    size = nets.smallest_image(name)
    torch.manual_seed(0)
    network = nets.build(name, 3, 10, size).train()
    before, random = {key: each.clone() for key, each in network.state_dict().items()}, torch.get_rng_state()
    with small_training(network, (2, 3, size, size)):
        pass
    assert network.training
    assert torch.equal(torch.get_rng_state(), random)
    after = network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
