"""What a synthetic set is worth: a fresh network trained on it, as an ordinary run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from condensation.config import CondensationConfig
from condensation.synthetic import Synthetic, as_data, load_synthetic
from utils.config import ExecutionConfig, RunConfig, TrainingConfig
from utils.data import Data
from utils.errors import UserError
from utils.files import write_atomic
from utils.record import Run
from utils.retraining import Timing, machine_of, retrain


def evaluation_config(
    config: CondensationConfig, training: TrainingConfig, model: str, repeat: int, fraction: float
) -> RunConfig:
    """The run of one evaluation network; ``fraction`` is the set's size as a part of the real one's."""
    return RunConfig(config.data, model, config.selection(), fraction, config.seed, training, repeat)


def evaluate(
    config: RunConfig,
    synthetic_path: Path,
    timing: Timing,
    execution: ExecutionConfig,
    device: torch.device,
    load: Callable[[str], Data],
) -> Path:
    """Train the run's network on the synthetic set unless that is done already. Returns the run's folder.

    Args:
        timing: what making the set took.
        load: from the name of a network to the data at the size that it takes.

    Raises:
        UserError: the folder holds an evaluation of another set.
    """
    synthetic = load_synthetic(synthetic_path)
    with Run.open(config, execution.save_path) as run:
        _place(synthetic, synthetic_path, run)
        summary = run.summary()
        if summary is None:
            data = as_data(synthetic, load(config.model))
            machine = machine_of(execution, device, run)
            summary = retrain(run, data, np.arange(len(synthetic)), None, timing, machine)
    print(f"{run.path}: {summary.coreset_size} images, final accuracy {summary.final_accuracy:.2f} %", flush=True)
    return run.path


def _place(synthetic: Synthetic, path: Path, run: Run) -> None:
    """See that the run's coreset is this set: the same file, or a copy where it cannot be linked."""
    target = run.coreset_path
    if target.exists():
        if load_synthetic(target).digest() != synthetic.digest():
            raise UserError(f"{run.path} holds an evaluation of another synthetic set; move it away")
        return
    with suppress(OSError):
        os.link(path, target)
        return
    write_atomic(target, path.read_bytes())
