"""A run's last stage: a fresh network on the coreset, and the record of what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

import nets
from utils.config import ExecutionConfig
from utils.data import Data
from utils.device import describe_device, peak_memory
from utils.record import Run, summarise
from utils.seeding import seed_torch
from utils.summary import Summary
from utils.training import DivergedError, Machine, Task, Training


@dataclass(frozen=True)
class Timing:
    """What phases took in seconds, and how many images a second those that look at images saw."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    images_per_second: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Selected:
    """A selection as retraining sees it.

    Attributes:
        indices: int64 [k] into the training set.
        weights: float32 [k], or None.
        timing: of the phases that made it: proxy, features, selection.
    """

    indices: np.ndarray
    weights: np.ndarray | None = None
    timing: Timing = field(default_factory=Timing)


def retraining_purpose(repeat: int) -> str:
    """The name of the random numbers of a retraining: the same for every method and fraction of a seed."""
    return f"retraining {repeat}"


def retrain(run: Run, data: Data, selected: Selected, machine: Machine) -> Summary:
    """Train a fresh network on the selected images, and finish the run's record.

    Raises:
        DivergedError: the loss became NaN or infinite; the run is recorded as failed.
    """
    config, spec = run.config, data.spec
    purpose = retraining_purpose(config.repeat)
    seed_torch(config.seed, purpose, "network")
    network = nets.build(config.model, spec.channels, spec.num_classes, spec.im_size)
    weights = None if selected.weights is None else torch.from_numpy(np.array(selected.weights))
    training = Training(
        network,
        Task(data, torch.from_numpy(np.array(selected.indices)), weights),
        config.training,
        seed=config.seed,
        purpose=purpose,
        label=f"{config.model} on {len(selected.indices)} images",
        machine=machine,
    )
    try:
        outcome = training.run()
    except DivergedError as error:
        run.fail(str(error))
        raise
    run.write_history(outcome.history)
    summary = summarise(
        config,
        outcome.history,
        coreset_size=len(selected.indices),
        training_steps=outcome.steps,
        seconds={**selected.timing.seconds, "training": outcome.seconds},
        images_per_second={**selected.timing.images_per_second, "training": outcome.images_per_second},
        peak_memory_bytes=peak_memory(machine.device),
        device=describe_device(machine.device),
    )
    run.finish(summary)
    return summary


def machine_of(execution: ExecutionConfig, device: torch.device, run: Run | None = None) -> Machine:
    """How this command line trains; with the checkpoint and history of ``run`` where one is given."""
    return Machine(
        device=device,
        workers=execution.workers,
        data_on_device=execution.data_on_device,
        print_freq=execution.print_freq,
        checkpoint=None if run is None else run.checkpoint_path,
        checkpoint_interval=execution.checkpoint_interval,
        on_history=None if run is None else run.write_history,
    )
