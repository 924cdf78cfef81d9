"""What a network is trained on at a step, by the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from continual_learning.memory import Memory
from continual_learning.step_data import members
from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.data.training_set import TrainingSet


@dataclass(frozen=True, eq=False)
class Step:
    """A step as training sees it.

    Attributes:
        data: the whole data set, tested on the classes seen.
        classes: of this step.
        seen: classes of this step and of those before.
        before: the memory that the steps before left.
        after: the memory with this step's classes.
    """

    data: Data
    classes: tuple[int, ...]
    seen: tuple[int, ...]
    before: Memory
    after: Memory


def _replay(step: Step) -> TrainingSet:
    images = _all_images(step.data, step.classes)
    return _together(images, step.before.training_set(step.data)) if len(step.before) else images


TRAINING_SETS: Mapping[str, Callable[[Step], TrainingSet]] = {
    "memory": lambda step: step.after.training_set(step.data),
    "replay": _replay,
    "joint": lambda step: _all_images(step.data, step.seen),
    "finetune": lambda step: _all_images(step.data, step.classes),
}


def _all_images(data: Data, classes: Collection[int]) -> TrainingSet:
    """Return all images of ``classes`` that may be trained on, class after class."""
    chosen = members(data.train.labels, classes, data.pool)
    return TrainingSet(data, chosen[data.train.labels[chosen].argsort(stable=True)])


def _together(images: TrainingSet, memory: TrainingSet) -> TrainingSet:
    """Return both in one training set; images count 1 beside weights."""
    weights: Tensor | None = None
    if memory.weights is not None:
        weights = torch.cat([torch.ones(len(images)), memory.weights])
    if memory.data is images.data:
        return TrainingSet(images.data, torch.cat([images.indices, memory.indices]), weights)
    real, learned = images.data.train.at(images.indices), memory.data.train
    assert isinstance(real, MemoryImages)
    assert isinstance(learned, MemoryImages)
    joined = MemoryImages(
        torch.cat([real.images.float(), learned.images.float()]), torch.cat([real.labels, learned.labels])
    )
    everything = torch.arange(len(joined))
    return TrainingSet(dataclasses.replace(memory.data, train=joined, pool=everything), everything, weights)
