"""The networks that a command looks around, and the coresets that it looks at there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.command_line import Settings
from experiments.data import as_found, data_for
from experiments.landscape.arguments import Command
from experiments.landscape.runs import coreset_runs, views_of_runs
from experiments.landscape.view import View
from experiments.network_file import load_network
from experiments.selection import Selection
from utils.config import DataConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.coreset_formats import coreset_file
from utils.data.fingerprint import check_made_of
from utils.data.load import Data
from utils.data.small_set import load_small_set
from utils.errors import UserError
from utils.training.machine import Machine


def views(command: Command, machine: Machine) -> Iterator[View]:
    """Yield each network that the command names, with its coresets; networks that are not there are trained.

    Raises:
        UserError: a file is no coreset or network, or is one of other data; or no run is there.
    """
    given, runs = command.settings.coresets, command.landscape.runs
    if command.selections or given:
        yield _from_flags(command, machine)
    if runs:
        settings = command.settings
        yield from views_of_runs(coreset_runs(runs), settings.data.data_path, machine, settings.selection)


def _from_flags(command: Command, machine: Machine) -> View:
    settings, landscape = command.settings, command.landscape
    config = settings.run(settings.sizes[0], settings.seed)
    model = config.selection.model or settings.model
    data = data_for(model, config.data, config.seed, machine)
    found = as_found(config.data, machine)
    files = {path: _coreset_file(Path(path), found, data) for path in settings.coresets}
    network = None
    if landscape.network is not None:
        network = load_network(Path(landscape.network), model, data.spec, found, machine.device)
    coresets = {_file_label(Path(path)): coreset for path, coreset in files.items()}
    for each in command.selections:
        selection = Selection(each.run(each.sizes[0], each.seed), each.sizes, machine)
        for size in each.sizes:
            coresets[_label(each, size)] = selection.coreset(size)
    if network is None:
        network = Selection(config, settings.sizes, machine).proxy.network
    return View(model, config.seed, data, network.eval(), coresets)


def _coreset_file(path: Path, config: DataConfig, data: Data) -> Coreset:
    path = coreset_file(path)
    coreset = load_small_set(path)
    if not isinstance(coreset, Coreset):
        raise UserError(f"{path} holds learned images; a landscape compares selected ones")
    if not len(coreset):
        raise UserError(f"{path} holds no indices")
    check_made_of(path, coreset.train_images, config)
    try:
        coreset.check_fits(len(data.train))
    except UserError as error:
        raise UserError(f"{path} is of other data: {error}") from error
    return coreset


def _label(settings: Settings, size: CoresetSize) -> str:
    several = " " + str(size).removeprefix("fraction ") if len(settings.sizes) > 1 else ""
    return settings.selection.method + several


def _file_label(path: Path) -> str:
    return path.parent.name if path.name == "coreset.npz" and path.parent.name else path.stem
