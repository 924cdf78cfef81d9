"""Finished runs by the proxies that they were selected through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.landscape.view import View
from experiments.selection import Selection
from utils.config import RunConfig, SelectionConfig, TrainingConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.small_set import load_small_set
from utils.errors import UserError
from utils.records.groups import group, name_differences, unique_runs
from utils.records.run_folder import FinishedRun, find_runs, fraction_of
from utils.training.machine import Machine


def coreset_runs(folders: Iterable[str | Path]) -> list[FinishedRun]:
    """Return the complete runs in these folders, each configuration once; those in several steps are left out.

    Raises:
        UserError: there is none, or one was trained on learned images.
    """
    runs = unique_runs([run for path in folders for run in find_runs(path) if run.config.scenario is None])
    if not runs:
        raise UserError(f"there is no finished run in {' '.join(map(str, folders))}; make one with main.py")
    for run in runs:
        if not isinstance(load_small_set(run.path / "coreset.npz"), Coreset):
            raise UserError(f"{run.path} was trained on learned images; a landscape compares selected ones")
    return runs


def views_of_runs(
    runs: Sequence[FinishedRun], data_path: str, machine: Machine, proxy: SelectionConfig | None = None
) -> Iterator[View]:
    """Yield each proxy with the coresets of the runs that were selected through it; one that is gone is trained again.

    A run that needed no proxy is looked at with the other runs of its seed on the same images.

    Args:
        runs: of ``coreset_runs``.
        data_path: where data sets are looked for.
        machine: its save path holds the proxies.
        proxy: the network, and its training, for runs that have no such others; None to refuse them.

    Raises:
        UserError: a run was made of other images, or has no proxy.
    """
    through = {run.path: _proxy_of(run, runs, proxy) for run in runs}
    for alike in group(runs, lambda run: repr(through[run.path])):
        config = through[alike[0].path]
        config = replace(config, data=config.data.found_at(data_path))
        selection = Selection(config, [config.size], machine)
        names = dict(zip(_labels(alike), alike, strict=True))
        coresets = {name: Coreset.load(run.path / "coreset.npz") for name, run in names.items()}
        for coreset in coresets.values():
            coreset.check_fits(len(selection.data.train))
        yield View(config.model, config.seed, selection.data, selection.proxy.network, coresets, names)


def _proxy_of(run: FinishedRun, runs: Sequence[FinishedRun], fallback: SelectionConfig | None) -> RunConfig:
    """Return a configuration whose proxy the run is looked at, without all else that runs differ in."""
    config, selection = run.config, run.config.selection
    if selection.proxy is None:
        others = [each.config for each in runs if each.config.selection.proxy is not None]
        peers = [other.selection for other in others if (other.data, other.seed) == (config.data, config.seed)]
        own = [each for each in peers if each.model == config.model]
        found = [*own, *peers, *([] if fallback is None else [replace(fallback, model=config.model)])]
        if not found:
            raise UserError(
                f"{run.path} was selected without a proxy, and no run of seed {config.seed} beside it with one"
            )
        selection = found[0]
    looking = SelectionConfig("LCMat", model=selection.model, proxy=selection.proxy, proxy_file=selection.proxy_file)
    return RunConfig(
        config.data, str(selection.model), looking, CoresetSize.of(fraction=1.0), config.seed, TrainingConfig()
    )


def _labels(runs: Sequence[FinishedRun]) -> list[str]:
    """Return what sets each run apart: its method, settings that differ, and its fraction where there are several."""
    several = len(set(map(fraction_of, runs))) > 1
    labels = []
    for run, settings in zip(runs, name_differences([run.config for run in runs]), strict=True):
        parts = [run.config.selection.method, *([f"{fraction_of(run):g}"] if several else [])]
        labels.append(" ".join(parts) + (f" ({settings})" if settings else ""))
    return [
        label if labels.count(label) == 1 else f"{label} {run.path.name[-8:]}"
        for label, run in zip(labels, runs, strict=True)
    ]
