"""The networks that a command looks around, and the coresets that it looks at there."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nets
from experiments.data import data_for
from experiments.landscape.arguments import Command
from experiments.selection import Selection
from utils.config import RunConfig, Settings
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.coreset_formats import coreset_file
from utils.data.fingerprint import check_made_of, identified
from utils.data.load import Data
from utils.data.small_set import load_small_set
from utils.errors import UserError
from utils.records.groups import group, name_differences, unique_runs
from utils.records.run_folder import FinishedRun, find_runs, fraction_of, read_run_config
from utils.training.checkpoint import load_weights
from utils.training.machine import Machine


@dataclass(frozen=True, eq=False)
class View:
    """A network in evaluation mode, and coresets of the data that it is looked at with.

    Attributes:
        coresets: by what figures and tables call them.
        runs: of a coreset, where it was given as a run.
    """

    model: str
    seed: int
    data: Data
    network: nets.Network
    coresets: Mapping[str, Coreset]
    runs: Mapping[str, FinishedRun] = dataclasses.field(default_factory=dict)

    def digest(self) -> str:
        """Return hex digits that change with the data, any parameter or any coreset."""
        content = hashlib.sha256(self.data.fingerprint.encode())
        for value in self.network.state_dict().values():
            content.update(value.cpu().numpy().tobytes())
        for name, coreset in self.coresets.items():
            content.update(f"{name} {coreset.digest()}".encode())
        return content.hexdigest()


def views(command: Command, machine: Machine) -> Iterator[View]:
    """Yield each network that the command names, with its coresets; networks that are not there are trained.

    Raises:
        UserError: a file is no coreset or network, or is one of other data; or no run is there.
    """
    given, runs = command.settings.coresets, command.landscape.runs
    if command.selections or given:
        yield _from_flags(command, machine)
    if runs:
        yield from _from_runs(command, machine)


def _from_flags(command: Command, machine: Machine) -> View:
    settings, landscape = command.settings, command.landscape
    config = settings.run(settings.sizes[0], settings.seed)
    model = config.selection.model or settings.model
    data = data_for(model, config.data, config.seed, machine)
    files = {path: _coreset_file(Path(path), config, data) for path in settings.coresets}
    network = None if landscape.network is None else _network_file(Path(landscape.network), model, data, machine)
    coresets = {_file_label(Path(path)): coreset for path, coreset in files.items()}
    for each in command.selections:
        selection = Selection(each.run(each.sizes[0], each.seed), each.sizes, machine)
        for size in each.sizes:
            coresets[_label(each, size)] = selection.coreset(size)
    if network is None:
        network = Selection(config, settings.sizes, machine).proxy.network
    return View(model, config.seed, data, network.eval(), coresets)


def _from_runs(command: Command, machine: Machine) -> Iterator[View]:
    """Yield the views of finished runs: those selected through the same proxy share one.

    A run that needed no proxy is looked at with the other runs of its seed, or at the proxy that the flags ask for.
    """
    runs = unique_runs([run for path in command.landscape.runs for run in find_runs(path)])
    if not runs:
        raise UserError(f"there is no finished run in {' '.join(command.landscape.runs)}; make one with main.py")
    for run in runs:
        if not isinstance(load_small_set(run.path / "coreset.npz"), Coreset):
            raise UserError(f"{run.path} was trained on learned images; a landscape compares selected ones")
    through = {run.path: _proxy_config(run, runs, command) for run in runs}
    for alike in group(runs, lambda run: repr(through[run.path])):
        config = through[alike[0].path]
        selection = Selection(config, [config.size], machine)
        names = dict(zip((run.path for run in alike), _run_labels(alike), strict=True))
        coresets = {names[run.path]: Coreset.load(run.path / "coreset.npz") for run in alike}
        for coreset in coresets.values():
            coreset.check_fits(len(selection.data.train))
        model = config.selection.model or config.model
        by_name = {names[run.path]: run for run in alike}
        yield View(model, config.seed, selection.data, selection.proxy.network, coresets, by_name)


def _proxy_config(run: FinishedRun, runs: list[FinishedRun], command: Command) -> RunConfig:
    """Return the configuration whose proxy the run is looked at, stripped of all else that runs differ in."""
    settings = command.settings
    config = run.config
    if config.selection.proxy is None:
        peers = [
            each.config
            for each in runs
            if each.config.selection.proxy is not None
            and (each.config.data, each.config.seed, each.config.model) == (config.data, config.seed, config.model)
        ]
        selection = peers[0].selection if peers else dataclasses.replace(settings.selection, model=config.model)
        config = dataclasses.replace(config, selection=selection)
    data = config.data.found_at(settings.data.data_path)
    looks = dataclasses.replace(settings.selection, model=config.selection.model, proxy=config.selection.proxy)
    whole = CoresetSize.of(fraction=1.0)
    return dataclasses.replace(
        config, data=data, selection=looks, size=whole, training=settings.training, model=settings.model, repeat=0
    )


def _coreset_file(path: Path, config: RunConfig, data: Data) -> Coreset:
    path = coreset_file(path)
    coreset = load_small_set(path)
    if not isinstance(coreset, Coreset):
        raise UserError(f"{path} holds learned images; a landscape compares selected ones")
    if not len(coreset):
        raise UserError(f"{path} holds no indices")
    if (path.parent / "config.json").exists():
        recorded = read_run_config(path.parent).data
        if recorded.dataset != config.data.dataset:
            raise UserError(f"{path} is a coreset of {recorded.dataset}, not of {config.data.dataset}; give --dataset")
    check_made_of(path, coreset.train_images, identified(config.data))
    try:
        coreset.check_fits(len(data.train))
    except UserError as error:
        raise UserError(f"{path} is of other data: {error}") from error
    return coreset


def _network_file(path: Path, model: str, data: Data, machine: Machine) -> nets.Network:
    network = nets.build(model, data.spec.channels, data.spec.num_classes, data.spec.im_size)
    load_weights(path, network)
    return network.to(machine.device)


def _label(settings: Settings, size: CoresetSize) -> str:
    several = " " + str(size).removeprefix("fraction ") if len(settings.sizes) > 1 else ""
    return settings.selection.method + several


def _file_label(path: Path) -> str:
    return path.parent.name if path.name == "coreset.npz" and path.parent.name else path.stem


def _run_labels(runs: list[FinishedRun]) -> list[str]:
    """Return what sets each run apart: its method, settings that differ, and its fraction where there are several."""
    configs = [run.config for run in runs]
    several = len(set(map(fraction_of, runs))) > 1
    labels = []
    for run, settings in zip(runs, name_differences(configs), strict=True):
        parts = [run.config.selection.method, *([f"{fraction_of(run):g}"] if several else [])]
        labels.append(" ".join(parts) + (f" ({settings})" if settings else ""))
    return [
        label if labels.count(label) == 1 else f"{label} {run.path.name[-8:]}"
        for label, run in zip(labels, runs, strict=True)
    ]
