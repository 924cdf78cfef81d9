"""The command line of ``continual.py``: the shared flags that apply, and those of scenarios and condensation."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from condensation.arguments import MATCHING_FLAG, NO_CURVATURE, condensation_config, idle_condensation
from condensation.config import METHODS as CONDENSATIONS
from condensation.config import CondensationConfig
from experiments.arguments.flags import OPTION_FLAGS, PROXY_FLAGS, SIZE_FLAGS, Groups, grouped, selecting
from experiments.arguments.idle_flags import idle_selection, idle_training, print_notes
from experiments.arguments.parser import read_flags
from experiments.arguments.settings import (
    asked_method,
    data_config,
    execution_config,
    filled,
    selection_config,
    training_config,
)
from utils.config import RunConfig, SelectionConfig
from utils.coreset_size import CoresetSize
from utils.errors import UserError
from utils.execution import ExecutionConfig
from utils.flags import Flag, OneOf, flags_of, integer
from utils.scenario import PROTOCOLS, ScenarioConfig

_LEFT_OUT = {  # shared flags that have no part here
    *SIZE_FLAGS,
    *("balance", "coreset", "features", "save_features", "scores", "save_scores", "cross", "num_eval", "backpack"),
    *("proxy", "select_only", "save_network"),
    *("after_analyses", "exact_analyses", "profile", "test_fraction", "selection_test_fraction"),
}
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "dataset": {"help": "the images whose classes come step by step"},
    "selection_model": {"help": "the network to select or condense with (default: --model)"},
    "epochs": {"help": "passes at each step"},
    "test_interval": {"default": 0},
}
_DEFAULT_IPC = 20
_ORDER_FLAG = Flag(
    "--order_seed", integer(0), (0,), "of the classes' order; one run for each", "S [S ...]", group="Scenario"
)
_CONDENSATION_FLAG = Flag(
    "--condensation",
    OneOf("condensation", CONDENSATIONS),
    None,
    "learn each class's images at its step, instead of selecting: LCMat (LCMat-C), DC, DSA or DM",
    group="Condensation",
)
_CONDENSATION_FLAGS = {flag.name for flag in flags_of(CondensationConfig).values()} - {"method", "ipc"}


@dataclass(frozen=True)
class Command:
    """A whole command line: a run for each seed and order; none with ``--resume``."""

    runs: tuple[RunConfig, ...]
    data_path: str
    execution: ExecutionConfig
    given: frozenset[str]


def parse(argv: Sequence[str], *, description: str = "") -> Command:
    """Return what ``argv`` (without the program's name) asks for; flags that do not act are named on stderr.

    Raises:
        UserError: an unknown flag or name, a value outside its bounds, or flags that do not go together.
        SystemExit: with status 0, after ``--help``.
    """
    values, given = read_flags(argv, continual(), "continual.py", description)
    values.balance, values.features, values.coreset, values.scores, values.proxy = True, None, (), None, None
    values.fraction = values.budget = ()
    execution = execution_config(values)
    if execution.resume is not None:
        return Command((), values.data_path, execution, given)
    scenario = _scenario(values, given)
    training = training_config(values, values.train_batch or values.batch)
    seeds = range(values.seed, values.seed + values.num_exp)
    orders = (0,) if scenario.class_order else values.order_seed
    runs = tuple(
        RunConfig(
            data_config(values),
            values.model,
            _selection(values, seed, scenario, given),
            _size(scenario),
            seed,
            training,
            scenario=replace(scenario, order_seed=order),
        )
        for seed in seeds
        for order in orders
    )
    print_notes(_idle(values, runs[0], scenario), given)
    return Command(runs, values.data_path, execution, given)


def continual() -> Groups:
    """Return the flags of ``continual.py``."""
    shared = (
        replace(flag, **_CHANGES.get(flag.name, {}))
        for members in selecting().values()
        for flag in members
        if flag.name not in _LEFT_OUT
    )
    learning = (
        flag for flag in flags_of(CondensationConfig, "Condensation").values() if flag.name in _CONDENSATION_FLAGS
    )
    own = (*flags_of(ScenarioConfig, "Scenario").values(), _ORDER_FLAG)
    titles = (
        *("Data", "Scenario", "Network", "Selection", "Proxy training", "Condensation"),
        *("Retraining", "Output", "Machine"),
    )
    return grouped((*own, *shared, _CONDENSATION_FLAG, *learning, replace(MATCHING_FLAG, group="Condensation")), titles)


def _scenario(values: Namespace, given: Collection[str]) -> ScenarioConfig:
    if values.ipc is not None and values.memory is not None:
        raise UserError("--ipc and --memory both say how large the memory is; leave one of them out")
    if {"selection", "condensation"} <= set(given):
        raise UserError("--selection and --condensation both say what fills the memory; leave one of them out")
    if values.condensation is not None and values.memory is not None:
        raise UserError("--memory shrinks a class by dropping its last picks, and learned images have none; give --ipc")
    if not PROTOCOLS[values.protocol].keeps_memory:
        return filled(ScenarioConfig, values, ipc=None, memory=None, proxy_sees_memory=False)
    ipc = _DEFAULT_IPC if values.ipc is None and values.memory is None else values.ipc
    return filled(
        ScenarioConfig, values, ipc=ipc, proxy_sees_memory=values.proxy_sees_memory and values.condensation is None
    )


def _size(scenario: ScenarioConfig) -> CoresetSize:
    """Return the size of the memory in the end; bounds have all images of each step."""
    if scenario.is_bound:
        return CoresetSize.of(fraction=1.0)
    return CoresetSize.of(ipc=scenario.ipc, budget=scenario.memory)


def _selection(values: Namespace, seed: int, scenario: ScenarioConfig, given: Collection[str]) -> SelectionConfig:
    """Return what fills the memory, as a run records it; of a bound its name."""
    if not PROTOCOLS[scenario.protocol].keeps_memory:
        return SelectionConfig(scenario.protocol)
    if values.condensation is not None:
        return _condensation(values, seed, scenario).selection()
    return selection_config(values, *asked_method(values), given)


def _condensation(values: Namespace, seed: int, scenario: ScenarioConfig) -> CondensationConfig:
    own = {"method": values.condensation, "ipc": scenario.ipc, "model": values.selection_model or values.model}
    return condensation_config(Namespace(**{**vars(values), **own}), seed)


def _idle(values: Namespace, run: RunConfig, scenario: ScenarioConfig) -> Iterator[tuple[str, str]]:
    """Yield the flags that have no part in the runs, each with the reason."""
    if not values.val:
        yield "val_ratio", "is not used without --val"
    if scenario.class_order:
        yield "order_seed", "is not used with --class_order"
    yield from idle_training(values, run.training, run.selection.proxy)
    selecting_flags = {"selection", "scoring", "temperature", "prune", "partitions", "score", *OPTION_FLAGS}
    proxy_flags, learning_flags = set(PROXY_FLAGS), {"matching", *_CONDENSATION_FLAGS}
    if not PROTOCOLS[scenario.protocol].keeps_memory:
        unused = {"ipc", "memory", "proxy_sees_memory", "condensation"}
        for name in sorted(unused | selecting_flags | proxy_flags | learning_flags):
            yield name, f"is not used with --protocol {scenario.protocol}, which has no memory"
    elif values.condensation is not None:
        for name in sorted(selecting_flags | (proxy_flags - {"selection_model"}) | {"proxy_sees_memory"}):
            yield name, "is not used with --condensation"
        config = _condensation(values, run.seed, scenario)
        yield from idle_condensation(Namespace(**{**vars(values), "method": config.method}), config)
        if config.rho and not config.curvature_acts:
            print(NO_CURVATURE, file=sys.stderr)
    else:
        for name in sorted(learning_flags):
            yield name, "is not used without --condensation"
        if run.selection.proxy is None:
            yield "proxy_sees_memory", f"is not used: {run.selection.method} trains no proxy"
        idle = idle_selection(values, run.selection, asked_method(values)[1])
        yield from ((name, why) for name, why in idle if name not in SIZE_FLAGS)
