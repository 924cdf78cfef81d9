"""Group runs that differ only in seed, repeat and class order: a mean and a spread is over such runs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from utils.config import RunConfig
from utils.records.run_folder import FinishedRun

DRAWN = ("seed", "repeat", "scenario.order_seed")  # what a spread is over

_IN_IMAGES = ("budget", "ipc")  # sizes that tables show as the fraction they come to
_OPTIONS = "selection.options."
_SHOWN = {"data.dataset", "model", "selection.method", "selection.model", "fraction", *_IN_IMAGES, *DRAWN}
_IN_SCENARIO = {"selection.options.ipc"}  # which a scenario's own label says
_TELLING = {"selection.prune", "selection.score"}  # shown even where all alike have them: others of the method have not

Item = TypeVar("Item")


@dataclass(frozen=True)
class Statistic:
    """Mean and sample standard deviation (ddof = 1; None for a single value) of accuracies in percent."""

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistic:
        """Return the statistic of at least one value."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), std, len(values))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± " + ("–" if self.std is None else f"{self.std:.2f}")


def unique_runs(runs: Iterable[FinishedRun]) -> list[FinishedRun]:
    """Return the complete runs, the first of each configuration: a copied folder is no second sample."""
    complete = with_known_data([run for run in runs if run.summary is not None])
    return [same[0] for same in group(complete, lambda run: settings_key(run.config))]


def with_known_data(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Give runs of earlier versions, which did not record what their data were, the fingerprints of the others.

    That is done where all others of the same data set and folder agree; else such runs stand apart.
    """
    result = []
    for same in group(runs, lambda run: (run.config.data.dataset, run.config.data.data_path)):
        known = {(run.config.data.train_images, run.config.data.test_images) for run in same} - {(None, None)}
        if len(known) == 1:
            [(train, test)] = known
            found = [replace(run.config.data, train_images=train, test_images=test) for run in same]
            same = [replace(run, config=replace(run.config, data=data)) for run, data in zip(same, found, strict=True)]
        result += same
    return result


def group(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Return items with the same key together, in the order of their first."""
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def settings_key(config: RunConfig, without: Collection[str] = ()) -> str:
    """Return all settings but those named, as one comparable string."""
    settings = _flat(config.as_dict())
    return json.dumps({name: settings[name] for name in sorted(settings.keys() - set(without))})


def name_differences(configs: Sequence[RunConfig], across_models: bool = False) -> list[str]:
    """For each configuration what sets it apart from others of its data set, scenario, networks, method and pruning.

    With ``across_models`` those that train another network are compared too. Options of a method are compared between
    all configurations of that method.
    """

    def look(config: RunConfig) -> Hashable:
        trained = "" if across_models else config.model
        return config.data.title, config.scenario_label, trained, config.selection.method, config.selection.model

    settings = [_flat(config.as_dict()) for config in configs]
    texts = [""] * len(configs)
    for alike in group(range(len(configs)), lambda index: look(configs[index])):
        there = {name for index in alike for name in settings[index]}
        scenario = configs[alike[0]].scenario is not None
        names = sorted(there - _SHOWN - (_IN_SCENARIO if scenario else set()))
        if len(there & {"fraction", *_IN_IMAGES}) > 1:  # rows of one fraction may have been asked for differently
            names += _IN_IMAGES
        method = configs[alike[0]].selection.method
        of_method = [index for index, config in enumerate(configs) if config.selection.method == method]
        differing = []
        for name in names:
            compared = of_method if name.startswith(_OPTIONS) else alike
            if name in _TELLING or len({json.dumps(settings[index].get(name)) for index in compared}) > 1:
                differing.append(name)
        for index in alike:
            known = [name for name in differing if settings[index].get(name) is not None]
            texts[index] = ", ".join(f"{_short(name)}={settings[index][name]}" for name in known)
    return texts


def shared_options(configs: Sequence[RunConfig]) -> list[str]:
    """Return a line on the options that all configurations of a method share, or nothing where there are none.

    ``name_differences`` names the others. A switch that is off is left out.
    """
    methods = []
    for alike in group(configs, lambda config: config.selection.method):
        first, *others = (config.selection.options for config in alike)
        shared = [
            f"{name}={value}"
            for name, value in sorted(first.items())
            if value is not False and all(other.get(name) == value for other in others)
        ]
        if shared:
            methods.append(f"{alike[0].selection.method} {', '.join(shared)}")
    return [f"Options: {'; '.join(methods)}."] if methods else []


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _short(name: str) -> str:
    """Return a setting by the name of its flag: ``selection.proxy.optimizer.lr`` is ``selection_lr``."""
    *parents, last = name.split(".")
    return ("selection_" if "proxy" in parents else "") + (parents[-1] if last == "name" else last)
