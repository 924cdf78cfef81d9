"""Coresets and synthetic sets from files: the runs on them, and what those are called."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.command_line import Settings
from experiments.data import as_found, data_for
from experiments.retraining import retrain, retrainings
from utils.config import RunConfig, SelectionConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.coreset_formats import coreset_file
from utils.data.fingerprint import check_made_of
from utils.data.small_set import SmallSet, load_small_set
from utils.errors import UserError
from utils.records.run_folder import RunFolder, read_run_config
from utils.records.summary import Timing
from utils.training.machine import Machine

CONTENT = "content"  # the option that tells sets made elsewhere from each other


def train_on_given(settings: Settings, machine: Machine) -> list[Path]:
    """Complete the runs on every set of ``--coreset``, selected or synthetic, with each seed; return their folders."""
    settings = dataclasses.replace(settings, data=as_found(settings.data, machine))
    folders = []
    for seed in settings.seeds:
        for path in settings.coresets:
            config, small_set = given_set(Path(path), settings.run(settings.sizes[0], seed), machine)
            for each in retrainings(config, settings):
                with RunFolder(each, settings.execution.save_path, machine.world) as run:
                    run.keep(small_set, Timing())
                    folders.append(retrain(run, machine))
    return folders


def given_set(path: Path, config: RunConfig, machine: Machine) -> tuple[RunConfig, SmallSet]:
    """Return the configuration of a run on the set in a file, and the set; its content is part of the configuration.

    A file in a run's folder goes by its run's selection, a synthetic set by what its file says of it, another coreset
    by its own name.

    Args:
        path: a coreset in any format of :mod:`utils.data.coreset_formats`, or a folder that holds one.
        config: of the command line; its selection and its size are replaced.

    Raises:
        UserError: no sound coreset or synthetic set, or not for this data.
    """
    file = coreset_file(path)
    small_set = load_small_set(file)
    if not len(small_set):
        raise UserError(f"{path} holds no indices")
    check_made_of(path, small_set.train_images, config.data)
    data = data_for(config.model, config.data, config.seed, machine)
    small_set.training_set(data)
    selection = _selection(path, file, small_set)
    selection = dataclasses.replace(selection, options={**selection.options, CONTENT: small_set.digest()})
    size = CoresetSize.of(fraction=round(len(small_set) / len(data.pool), 6))
    return dataclasses.replace(config, selection=selection, size=size), small_set


def _selection(path: Path, file: Path, small_set: SmallSet) -> SelectionConfig:
    if (file.parent / "config.json").exists():
        return read_run_config(file.parent).selection
    if not isinstance(small_set, Coreset):
        return small_set.selection
    name = "".join(c if c.isalnum() else "-" for c in path.stem).strip("-") or "file"
    return SelectionConfig(name, balance=False)
