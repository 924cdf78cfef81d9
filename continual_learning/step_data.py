"""The data of a step, as a data set of its own: what selects or condenses is shown no other image."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.config import digest
from utils.data.images import Images
from utils.data.load import Data


@dataclass(frozen=True, eq=False)
class StepData:
    """Some classes of a data set, numbered from 0.

    Attributes:
        data: their images; its pool has those to select from.
        classes: of each of its labels the class in the whole data set.
        origin: int64 [n], of each of its training images the position in the whole data set.
        beside: int64, which of its training images are of the memory.
    """

    data: Data
    classes: tuple[int, ...]
    origin: Tensor
    beside: Tensor


def members(labels: Tensor, classes: Collection[int], among: Tensor | None = None) -> Tensor:
    """Return the positions of the images of ``classes``, int64, of all or of those ``among`` them, in their order."""
    positions = torch.arange(len(labels)) if among is None else among
    return positions[torch.isin(labels[positions], torch.tensor(sorted(classes)))]


def step_data(data: Data, classes: Collection[int], memory: Tensor) -> StepData:
    """Return the images of ``classes``, and beside them those at ``memory`` (int64 [m]), which are not in the pool.

    What is held out (--val) and the test images are of the same classes. Labels are numbered in the order of classes.
    """
    labels = data.train.labels
    pool, held_out = (members(labels, classes, part) for part in (data.pool, data.held_out))
    origin = torch.cat([pool, held_out, memory])
    seen = tuple(sorted({*classes, *labels[memory].tolist()}))
    numbers = torch.full((data.spec.num_classes,), -1)
    numbers[list(seen)] = torch.arange(len(seen))

    def numbered(images: Images) -> Images:
        return dataclasses.replace(images, labels=numbers[images.labels])

    names = tuple(data.spec.class_names[label] for label in seen)
    everything, ends = torch.arange(len(origin)), (len(pool), len(pool) + len(held_out))
    part = Data(
        dataclasses.replace(data.spec, num_classes=len(seen), class_names=names),
        numbered(data.train.at(origin)),
        numbered(data.test.at(members(data.test.labels, seen))),
        everything[: ends[0]],
        everything[ends[0] : ends[1]],
        digest([data.fingerprint, seen, hashlib.sha256(origin.numpy().tobytes()).hexdigest()]),
    )
    return StepData(part, seen, origin, everything[ends[1] :])
