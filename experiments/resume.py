"""A run continued by its name: with the settings that its folder records, on the command line's machine."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection
from pathlib import Path

from experiments.command_line import Settings
from experiments.coreset_files import CONTENT
from experiments.data import as_found
from experiments.retraining import retrain
from experiments.selection import Selection
from methods import METHODS, revision_of
from utils.config import DataConfig, RunConfig
from utils.errors import UserError
from utils.execution import ExecutionConfig
from utils.files import content_digest
from utils.flags import flags_of
from utils.records.folder import check_same_data
from utils.records.run_folder import RunFolder, read_run_config
from utils.training.machine import Machine

_USED = {"data_path", *(flag.name for flag in flags_of(ExecutionConfig).values())} - {"save_path"}


def resume(settings: Settings, machine: Machine) -> Path:
    """Complete the run whose folder, or a file in it, is ``--resume``; return its folder.

    Of the command line only what changes no result is used; other flags are named in a ``note: …`` line.

    Raises:
        UserError: no run is there, its folder was renamed, or the file that it was selected by is missing.
    """
    config, machine = recorded_run(settings.data.data_path, settings.given, machine)
    if config.scenario is not None:
        raise UserError(f"{config.name()} is a run of several steps; continual.py --resume goes on with it")
    with RunFolder(config, machine.execution.save_path, machine.world) as run:
        if run.needs_coreset:
            _selection(config, machine).keep(run, config.size)
        return retrain(run, machine)


def recorded_run(data_path: str, given: Collection[str], machine: Machine) -> tuple[RunConfig, Machine]:
    """Return the configuration of the run that ``--resume`` names, and the machine that goes on with it in its place.

    Args:
        data_path: where its images are now.
        given: names of the flags that the command line gives; those of no use here are named in a ``note: …`` line.

    Raises:
        UserError: no run is there, its folder was renamed, or other images are where its were said to be moved to.
    """
    path = Path(str(machine.execution.resume))
    folder = path if path.is_dir() else path.parent
    config = _recorded(path, folder)
    if ignored := sorted(set(given) - _USED):
        print(f"note: not used, for a resumed run keeps its own settings: --{', --'.join(ignored)}", file=sys.stderr)
    data = as_found(config.data.found_at(data_path, named="data_path" in given), machine)
    if data.moved_to is not None:
        _check_moved(folder, config.data, data)
    config = dataclasses.replace(config, data=data)
    execution = dataclasses.replace(machine.execution, save_path=str(folder.parent))
    return config, dataclasses.replace(machine, execution=execution)


def _recorded(path: Path, folder: Path) -> RunConfig:
    if not path.exists() or not (folder / "config.json").exists():
        raise UserError(f"--resume {path}: no run is there; name a run's folder, or its checkpoint.pt")
    config = read_run_config(folder)
    if folder.resolve().name != config.name():
        raise UserError(f"--resume {path}: its folder was renamed; call it {config.name()} again")
    return config


def _check_moved(folder: Path, recorded: DataConfig, now: DataConfig) -> None:
    """Raise UserError unless the images at another folder are those that the run was begun on."""
    if recorded.train_images is None:
        raise UserError(f"{folder} does not say of which images it is; put them back to {recorded.data_path}")
    check_same_data(folder, recorded, now)


def _selection(config: RunConfig, machine: Machine) -> Selection:
    """Return the selection as the run would have made it."""
    selection, execution = config.selection, machine.execution
    if CONTENT in selection.options:
        raise UserError(f"the coreset of {config.name()} was a file and is lost; give the file as --coreset again")
    if selection.method not in METHODS:
        raise UserError(f"the synthetic set of {config.name()} is lost; call the condense.py that made it again")
    if selection.revision != revision_of(selection.method, selection.score if selection.scores is None else None):
        raise UserError(f"{config.name()} was to be selected as an earlier version did; start it anew with main.py")
    execution = dataclasses.replace(
        execution,
        features=_same_file("features", selection.features, execution.features, config),
        scores=_same_file("scores", selection.scores, execution.scores, config),
        proxy=_same_file("proxy", selection.proxy_file, execution.proxy, config),
    )
    return Selection(config, [config.size], dataclasses.replace(machine, execution=execution))


def _same_file(flag: str, recorded: str | None, given: str | None, config: RunConfig) -> str | None:
    """Return the file that the run was selected by, or None. Raises UserError where another one or none is given."""
    if recorded is not None and (given is None or content_digest(Path(given)) != recorded):
        raise UserError(f"{config.name()} was selected by other --{flag}; give the same file again")
    return None if recorded is None else given
