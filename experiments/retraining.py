"""A run's last stage: a fresh network on the coreset, and the record of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

import nets
from utils.config import ExecutionConfig
from utils.data.load import Data
from utils.device import describe_device, peak_memory
from utils.distributed import current_world
from utils.records.run_folder import Run
from utils.records.summary import Summary, summarise
from utils.seeding import seed_torch
from utils.training.task import Machine, Task
from utils.training.trainer import DivergedError, Training


@dataclass(frozen=True)
class Timing:
    """What phases took in seconds, and how many images a second those that look at images saw."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    images_per_second: Mapping[str, float] = field(default_factory=dict)


AfterTraining = Callable[[nets.Network], None]


def retraining_purpose(repeat: int) -> str:
    """The name of the random numbers of a retraining: the same for every method and fraction of a seed."""
    return f"retraining {repeat}"


def retrain(
    run: Run,
    data: Data,
    indices: np.ndarray,
    weights: np.ndarray | None,
    selection: Timing,
    machine: Machine,
    after: AfterTraining | None = None,
) -> Summary:
    """Train a fresh network on a part of the training set, and finish the run's record.

    Args:
        indices: int64 [k] into ``data.train``; ``weights``: float32 [k], or None.
        selection: what the phases before took.
        after: called with the trained network in evaluation mode before the record is finished.

    Raises:
        DivergedError: the loss became NaN or infinite; the run is recorded as failed.
    """
    config, spec, world = run.config, data.spec, machine.world
    purpose = retraining_purpose(config.repeat)
    seed_torch(config.seed, purpose, "network")
    network = nets.build(config.model, spec.channels, spec.num_classes, spec.im_size)
    training = Training(
        network,
        Task(data, torch.tensor(indices), None if weights is None else torch.tensor(weights)),
        config.training,
        seed=config.seed,
        purpose=purpose,
        label=f"{config.model} on {len(indices)} images",
        machine=machine,
    )
    try:
        outcome = training.run()
    except DivergedError as error:
        world.on_rank_zero(run.fail, str(error))
        raise
    if after is not None:
        world.on_rank_zero(after, network.eval())
    world.on_rank_zero(run.write_history, outcome.history)
    summary = summarise(
        config,
        outcome.history,
        coreset_size=len(indices),
        training_steps=outcome.steps,
        seconds={**selection.seconds, "training": outcome.seconds},
        images_per_second={**selection.images_per_second, "training": outcome.images_per_second},
        peak_memory_bytes=max(world.all_gather_object(peak_memory(machine.device))),
        device=describe_device(machine.device, world.size),
    )
    world.on_rank_zero(run.finish, summary)
    return summary


def machine_of(execution: ExecutionConfig, device: torch.device, run: Run | None = None) -> Machine:
    """How this command line trains; with the checkpoint and history of ``run`` where one is given."""
    world = current_world()
    return Machine(
        device=device,
        workers=execution.workers,
        data_on_device=execution.data_on_device,
        print_freq=execution.print_freq,
        checkpoint=None if run is None else run.checkpoint_path,
        checkpoint_interval=execution.checkpoint_interval,
        on_history=None if run is None else run.write_history,
        profile=run.path / "profile.json.gz" if run is not None and execution.profile and world.is_rank_zero else None,
        world=world,
    )
