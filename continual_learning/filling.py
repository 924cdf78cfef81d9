"""A step's images for the memory, from the step's data alone: selected by any method, or learned by a condensation."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np

from condensation.config import METHODS, CondensationConfig, is_condensation
from condensation.learning import Condensation
from continual_learning.memory import Memory
from continual_learning.step_data import StepData, step_data
from experiments.data import data_for
from experiments.selection import Selection
from utils.config import RunConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.data.small_set import SmallSet
from utils.data.synthetic_set import SyntheticSet
from utils.distributed import SINGLE_PROCESS
from utils.errors import UserError
from utils.records.summary import Timing
from utils.training.machine import Machine

DISTRIBUTION_MATCHING = METHODS["DM"].label


def fill(
    config: RunConfig, classes: Collection[int], memory: Memory, quota: int, machine: Machine, checkpoint: Path
) -> tuple[SmallSet, Timing]:
    """Return ``quota`` images of each of the ``classes``, all of a class that has fewer, and what they took.

    Args:
        memory: of the classes before; only ``--proxy_sees_memory`` looks at it.
        checkpoint: file that the state of a condensation is kept in.

    Raises:
        DivergedError: the loss of a proxy, or a pixel, became NaN or infinite.
    """
    data = data_for(config.selection.model or config.model, config.data, config.seed, machine)
    if is_condensation(config.selection):
        part = step_data(data, classes, Memory.empty().indices)
        return machine.world.on_rank_zero(condense, config, part, quota, machine, checkpoint)
    seen = config.scenario is not None and config.scenario.proxy_sees_memory
    return select(config, step_data(data, classes, (memory if seen else Memory.empty()).indices), quota, machine)


def select(config: RunConfig, part: StepData, quota: int, machine: Machine) -> tuple[Coreset, Timing]:
    """Return the first ``quota`` picks of each class in a step's pool, as indices into the whole data set."""
    data = part.data
    if data.spec.num_classes == 1:  # a network of one output has nothing to learn, and no gradient
        names = (*data.spec.class_names, "none")
        data = dataclasses.replace(data, spec=dataclasses.replace(data.spec, num_classes=2, class_names=names))
    labels = data.train.labels[data.pool].numpy()
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    size = CoresetSize.of(ipc=quota) if quota <= smallest else CoresetSize.of(fraction=1.0)
    selection = Selection(config, [size], machine, data, part.beside if len(part.beside) else None)
    memory = Memory.of(selection.coreset(size), data).shrunk(quota).images
    assert isinstance(memory, Coreset)
    return memory.mapped(part.origin.numpy()), selection.timing()


def condense(
    config: RunConfig, part: StepData, quota: int, machine: Machine, checkpoint: Path
) -> tuple[SyntheticSet, Timing]:
    """Return ``quota`` learned images of each class of a step; one process learns them for all."""
    settings = CondensationConfig.of_selection(config.selection, config.data, config.seed)
    settings = dataclasses.replace(settings, ipc=quota)
    alone = dataclasses.replace(machine, world=SINGLE_PROCESS)
    learned = Condensation(settings, part.data, alone, checkpoint, lambda *_: None).run()
    labels = np.array(part.classes)[learned.synthetic.labels]
    images = SyntheticSet(learned.synthetic.images, labels, config.selection)
    return images, Timing({"selection": learned.seconds})


def check(config: RunConfig, data: Data, steps: Collection[Collection[int]]) -> None:
    """Raise UserError where a step cannot be filled or tested; nothing has been trained by then."""
    tested = set(data.test.labels.tolist())
    for classes in steps:
        if tested.isdisjoint(classes):
            name = data.spec.class_names[min(classes)]
            raise UserError(
                f"a step has no test image of its classes ({name}); give its classes some, or fewer --steps"
            )
    if not is_condensation(config.selection):
        return
    if not isinstance(data.train, MemoryImages):
        raise UserError(
            "learned images are held in memory, and those of this data set stay in their files; "
            "give a smaller --im_size, or select with --selection"
        )
    if config.selection.method != DISTRIBUTION_MATCHING and min(map(len, steps)) == 1:
        raise UserError(
            f"{config.selection.method} matches gradients, which are zero where a step has a single class; "
            "give fewer --steps, or --condensation DM"
        )
