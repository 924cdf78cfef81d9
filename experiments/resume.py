"""A run continued by its name: with the settings that its folder records, on the command line's machine."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import nets
from experiments.coreset_files import FROM_ELSEWHERE, Job, Reduced, Selected, complete
from experiments.retraining import machine_of
from experiments.selection import Pipeline
from methods import METHODS
from utils.config import ExecutionConfig, RunConfig, Settings
from utils.data.load import Data, load_once
from utils.errors import UserError
from utils.files import content_digest
from utils.flags import flags_of
from utils.records.run_folder import Run, read_run_config

_USED = {"data_path", *(flag.name for flag in flags_of(ExecutionConfig).values())} - {"save_path"}


def resume(settings: Settings, device: torch.device, stored: Callable[[Run], Reduced | None]) -> Path:
    """Complete the run whose folder, or a file in it, is ``--resume``; returns its folder.

    Of the command line only what changes no result is used; other flags are named in a ``note: …`` line.

    Args:
        stored: reads the coreset that a run has, if it has one.

    Raises:
        UserError: no run is there, its folder was renamed, or the file that it was selected by is missing.
    """
    path = Path(str(settings.execution.resume))
    folder = path if path.is_dir() else path.parent
    config = _recorded(path, folder)
    if ignored := sorted(settings.given - _USED):
        print(f"note: not used, for a resumed run keeps its own settings: --{', --'.join(ignored)}", file=sys.stderr)
    execution = dataclasses.replace(settings.execution, save_path=str(folder.parent))
    load = functools.partial(_load, config, settings)
    job = Job(config, lambda: _select(config, execution, device, load), stored)
    return complete(job, execution, device, load)


def _recorded(path: Path, folder: Path) -> RunConfig:
    if not path.exists() or not (folder / "config.json").exists():
        raise UserError(f"--resume {path}: no run is there; name a run's folder, or its checkpoint.pt")
    config = read_run_config(folder)
    if folder.resolve().name != config.name():
        raise UserError(f"--resume {path}: its folder was renamed; call it {config.name()} again")
    return config


def _load(config: RunConfig, settings: Settings, model: str) -> Data:
    """The run's data at the size that ``model`` takes; from --data_path, where that does not define the data."""
    data = config.data
    if data.dataset != "ImageFolder":
        data = dataclasses.replace(data, data_path=settings.data.data_path)
    return load_once(data, nets.smallest_image(model), config.seed if data.val else 0, settings.execution.workers)


def _select(
    config: RunConfig, execution: ExecutionConfig, device: torch.device, load: Callable[[str], Data]
) -> Selected:
    """Select again, as the run would have."""
    selection = config.selection
    if FROM_ELSEWHERE in selection.options:
        raise UserError(f"the coreset of {config.name()} was a file and is lost; give the file as --coreset again")
    if selection.method not in METHODS:
        raise UserError(f"the synthetic set of {config.name()} is lost; call the condense.py that made it again")
    if selection.features is None:
        execution = dataclasses.replace(execution, features=None)
    elif execution.features is None or content_digest(Path(execution.features)) != selection.features:
        raise UserError(f"{config.name()} was selected by other --features; give the same file again")
    data = load(selection.model or config.model)
    pipeline = Pipeline(selection, data, config.seed, machine_of(execution, device), execution)
    return Selected(pipeline.coresets([config.fraction])[config.fraction], pipeline.timing())
