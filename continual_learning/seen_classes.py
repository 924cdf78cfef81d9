"""Networks and tests among the classes seen so far, of a head for all classes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from continual_learning.step_data import members
from utils.data.batches import Batches
from utils.data.load import Data
from utils.training.evaluation import TEST_BATCH, evaluate
from utils.training.machine import Machine


class SeenClasses(nn.Module):
    """A network whose logits of classes not seen yet are −∞: loss and prediction are among the classes seen.

    Args:
        unseen: those classes, at least one.
    """

    def __init__(self, network: nn.Module, unseen: Collection[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("unseen", torch.tensor(sorted(unseen)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [n, C] of images [n, c, h, w]."""
        return self.network(x).index_fill(1, self.unseen, -math.inf)


def among(network: nn.Module, seen: Collection[int], num_classes: int) -> nn.Module:
    """Return the network as it is among the classes seen: itself where those are all."""
    unseen = set(range(num_classes)) - set(seen)
    return SeenClasses(network, unseen) if unseen else network


def tested_on(data: Data, classes: Collection[int]) -> Data:
    """Return the data set with the test images of ``classes`` alone."""
    chosen = members(data.test.labels, classes)
    return data if len(chosen) == len(data.test) else dataclasses.replace(data, test=data.test.at(chosen))


def accuracy(network: nn.Module, data: Data, classes: Collection[int], amp: bool, machine: Machine) -> float:
    """Return the accuracy on the test images of ``classes``, in percent."""
    chosen, workers = members(data.test.labels, classes), machine.execution.workers
    images, device, world = machine.hold(data.test), machine.device, machine.world
    batches = Batches(images, data.spec, chosen, TEST_BATCH, device=device, workers=workers, world=world)
    return evaluate(network, batches, amp, world).accuracy
