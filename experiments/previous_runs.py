"""Runs that are there, found by the flags of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.arguments.flags import SIZE_FLAGS
from experiments.command_line import Settings
from methods import METHODS
from utils.config import RunConfig
from utils.errors import UserError
from utils.flags import flags_of
from utils.records.groups import group
from utils.records.run_folder import FinishedRun, find_runs

_SHOWN = 8


def selected_before(settings: Settings) -> list[FinishedRun]:
    """Return the runs that agree with the flags given and have their coreset, one for each coreset.

    Raises:
        UserError: there are none; says which there are.
    """
    runs = find_runs(settings.execution.save_path)
    at_once = [run for run in runs if run.failure is None and run.config.scenario is None]
    matching = [run for run in at_once if _matches(run.config, settings)]
    if not matching:
        raise _nothing_found(settings, runs)
    coresets = {
        (str(run.config.data), str(run.config.selection), run.config.size, run.config.seed): run for run in matching
    }
    return list(coresets.values())


def _matches(config: RunConfig, settings: Settings) -> bool:
    """Return whether a run agrees with every flag given that says something of the data or the selection."""
    selection, flags = config.selection, settings.given
    selector = settings.selection.model or settings.model
    options = settings.selection.options
    names = flags_of(METHODS[settings.selection.method])
    tests = {
        "dataset": config.data.dataset == settings.data.dataset,
        "data_path": config.data.dataset != "ImageFolder" or config.data.data_path == settings.data.data_path,
        "im_size": config.data.im_size == settings.data.im_size,
        "background": config.data.background == settings.data.background,
        "val": config.data.val == settings.data.val,
        "label_noise": (config.data.label_noise, config.data.noise_matrix)
        == (settings.data.label_noise, settings.data.noise_matrix),
        "selection": (selection.method, selection.revision) == (settings.selection.method, settings.selection.revision),
        **dict.fromkeys(SIZE_FLAGS, config.size in settings.sizes),
        "seed": config.seed in settings.seeds,
        "balance": selection.balance == settings.selection.balance,
        "scoring": selection.scoring == settings.selection.scoring,
        "temperature": selection.temperature == settings.selection.temperature,
        "prune": selection.prune == settings.selection.prune,
        "partitions": selection.partitions == settings.selection.partitions,
        "score": selection.score == settings.selection.score,
        "scores": selection.scores == settings.selection.scores,
        "proxy": selection.proxy_file == settings.selection.proxy_file,
        "model": selection.model in (None, selector),
        "selection_model": selection.model in (None, selector),
        **{names[name].name: selection.options.get(name, value) == value for name, value in options.items()},
    }
    return all(agrees for flag, agrees in tests.items() if flag in flags)


def _described(config: RunConfig) -> str:
    """Return the flags that ask for such a run."""
    selection = config.selection
    selector = f" --selection_model {selection.model}" if selection.model else ""
    return f"--dataset {config.data.dataset} --selection {selection.method}{selector} --{config.size}"


def _nothing_found(settings: Settings, runs: Sequence[FinishedRun]) -> UserError:
    """Return an error that says what was looked for, and which runs there are."""
    by_unit = {sizes[0].unit: sizes for sizes in group(settings.sizes, lambda size: size.unit)}
    looked_for = {
        "dataset": settings.data.dataset,
        "selection": settings.selection.method,
        "selection_model": settings.selection.model or settings.model,
        "model": settings.model,
        **{unit: " ".join(f"{size.amount:g}" for size in sizes) for unit, sizes in by_unit.items()},
        "seed": " ".join(str(seed) for seed in settings.seeds),
    }
    asked = " ".join(f"--{flag} {value}" for flag, value in looked_for.items() if flag in settings.given)
    there = list(dict.fromkeys(_described(run.config) for run in runs if run.failure is None))
    more = f"; and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    held = f"there are: {'; '.join(there[:_SHOWN])}{more}" if there else "there are none"
    return UserError(
        f"no finished run in {settings.execution.save_path} matches {asked or 'the flags'}; {held}. "
        "Make one with main.py, or name a --coreset FILE.npz"
    )
