"""The memory: a class shrinks by its last picks, and learned images stay as they were learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_data import make_data

from continual_learning.memory import Memory
from utils.data.coreset import Coreset
from utils.data.synthetic_set import SyntheticSet

DATA = make_data()  # labels 0 1 2 0 1 2 …


def test_a_smaller_memory_drops_the_last_picks_of_each_class():
    memory = Memory.of(Coreset(np.array([31, 1, 16, 9, 3, 30, 0])), DATA)  # of class 1, then of class 0
    assert memory.images.indices.tolist() == [9, 3, 30, 0, 31, 1, 16]
    assert memory.labels.tolist() == [0] * 4 + [1] * 3
    assert memory.shrunk(2).images.indices.tolist() == [9, 3, 31, 1]
    assert memory.shrunk(3).shrunk(1).images.indices.tolist() == [9, 31]
    assert memory.shrunk(9).images.indices.tolist() == memory.images.indices.tolist()


def test_further_classes_join_in_the_order_of_labels():
    memory = Memory.empty().with_images(Coreset(np.array([5, 2])), DATA)
    memory = memory.with_images(Coreset(np.array([3, 0])), DATA)
    assert memory.images.indices.tolist() == [3, 0, 5, 2]
    assert memory.indices.tolist() == [3, 0, 5, 2]


def test_learned_images_join_and_have_no_indices():
    def learned(label: int, value: float) -> SyntheticSet:
        return SyntheticSet(np.full((2, 1, 8, 8), value, np.float32), np.full(2, label))

    memory = Memory.empty().with_images(learned(2, 107.5), DATA).with_images(learned(0, -11.25), DATA)
    assert memory.labels.tolist() == [0, 0, 2, 2]
    assert memory.images.images[:, 0, 0, 0].tolist() == [-11.25, -11.25, 107.5, 107.5]
    assert not len(memory.indices)
    trained = memory.training_set(DATA)
    assert trained.data.train.labels[trained.indices].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("weights", "expected"), [([4, 2, 0, 0], [4 / 3, 2 / 3, 1, 1]), ([1, 3, 2, 2], [0.5, 1.5, 1, 1])]
)
def test_weights_have_the_mean_one_in_each_class(weights, expected):
    memory = Memory.of(Coreset(np.array([0, 3, 1, 4]), np.array(weights, np.float32)), DATA)
    torch.testing.assert_close(memory.training_set(DATA).weights, torch.tensor(expected))
