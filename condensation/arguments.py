"""The command line of ``condense.py``: the shared flags that apply, and those of condensation."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensation.condensation_folder import read_record
from condensation.config import (
    MATCHINGS,
    METHODS,
    CondensationConfig,
    default_augmentation,
    default_epochs,
    default_pixel_lr,
    default_strategy,
    loops,
)
from experiments.arguments.flags import SHARED, Groups, grouped
from experiments.arguments.idle_flags import idle_data, idle_training, print_notes
from experiments.arguments.parser import read_flags
from experiments.arguments.settings import data_config, execution_config, filled, training_config
from utils.config import TrainingConfig
from utils.errors import UserError
from utils.execution import ExecutionConfig
from utils.flags import Flag, OneOf, flags_of, integer

_OWN = "Condensation"  # the heading of its flags
NO_CURVATURE = (
    "note: with one image per class the variance of its gradients is zero, and so LCMat-C's curvature term moves "
    "no pixel; --curvature diagonal acts there"
)
_LEFT_OUT = {  # shared flags that have no part here
    *("coreset", "features", "proxy", "save_features", "memory_budget", "select_only"),
    *("after_analyses", "exact_analyses", "profile", "selection_test_interval", "certificate"),
}
_CHANGES: Mapping[str, Mapping[str, Any]] = {  # of shared flags, as the literature evaluates synthetic sets
    "dataset": {"help": "the images to condense"},
    "model": {"default": "ConvNet", "help": "the network to condense and to evaluate with", "group": _OWN},
    "seed": {"group": _OWN},
    "num_exp": {"group": _OWN},
    "cross": {"help": "further networks to evaluate with", "group": "Evaluation"},
    "num_eval": {"default": 20, "read": integer(0), "help": "train N fresh networks on each synthetic set (0: none)"},
    "epochs": {"names": "--epochs --eval_epochs", "default": None, "help": "passes (default: 1000, for DC 300)"},
    "batch": {"help": "images per step"},
    "augmentation": {"default": None, "help": "as for main.py (default: siamese, as suits the data; none for DC)"},
    "test_interval": {"default": 0},
    "lr": {"default": 0.01},
    "nesterov": {"default": False},
    "scheduler": {"default": "StepLR"},
    "gamma": {"default": 0.1},
    "step_size": {"default": None, "help": "epochs between the steps of a schedule (default: half of them)"},
}
MATCHING_FLAG = Flag(
    "--matching", OneOf("matching", MATCHINGS), "DSA", "LCMat: the first term, as in DC or DSA", group=_OWN
)


@dataclass(frozen=True)
class Command:
    """A whole command line: one condensation for every seed, and how its result is evaluated."""

    condensations: tuple[CondensationConfig, ...]
    training: TrainingConfig
    networks: tuple[str, ...]
    num_eval: int
    execution: ExecutionConfig


def parse(argv: Sequence[str], *, description: str = "") -> Command:
    """Return what ``argv`` (without the program's name) asks for; flags that do not act are named on stderr.

    Raises:
        UserError: an unknown flag or name, or a value outside its bounds.
        SystemExit: with status 0, after ``--help``.
    """
    groups = condensing()
    values, given = read_flags(argv, groups, "condense.py", description)
    if values.resume is None:
        seeds = range(values.seed, values.seed + values.num_exp)
        condensations = tuple(condensation_config(values, seed) for seed in seeds)
    else:
        condensations = (_recorded(values, given),)
    config = condensations[0]
    training = _evaluation(values, config)
    others = tuple(network for network in values.cross if network != config.model)
    kept = [flag.name for title in ("Data", _OWN) for flag in groups[title] if flag.name != "data_path"]
    print_notes(_idle(values, config, training, kept), given)
    if config.rho and not config.curvature_acts:
        print(NO_CURVATURE, file=sys.stderr)
    return Command(condensations, training, (config.model, *others), values.num_eval, execution_config(values))


def condensing() -> Groups:
    """Return the flags of ``condense.py``."""
    shared = (
        replace(flag, **_CHANGES.get(flag.name, {}))
        for kind, group in SHARED
        for flag in flags_of(kind, "Evaluation" if group == "Retraining" else group).values()
        if flag.name not in _LEFT_OUT
    )
    own = flags_of(CondensationConfig, _OWN).values()
    return grouped((*own, MATCHING_FLAG, *shared), ("Data", _OWN, "Evaluation", "Output", "Machine"))


def condensation_config(values: Namespace, seed: int) -> CondensationConfig:
    """Return what the flags say of one condensation; what the method does not take is at its default."""
    method, defaults = values.method, METHODS[values.method]
    outer, inner = (1, 1) if method == "DM" else loops(values.ipc)
    if method != "DM":
        outer, inner = values.outer or outer, values.inner or inner
    curved = method == "LCMat" and values.rho > 0
    return filled(
        CondensationConfig,
        values,
        data=data_config(values),
        model=values.model,
        seed=seed,
        init=values.init or defaults.init,
        iterations=values.iterations or defaults.iterations,
        pixel_lr=values.pixel_lr or default_pixel_lr(method, values.dataset, values.ipc),
        strategy=_strategy(values),
        outer=outer,
        inner=inner if outer > 1 else 1,
        distance=None if method == "DM" else values.distance,
        rho=values.rho if curved else None,
        curvature=values.curvature if curved else None,
        deterministic=values.deterministic or None,
        compile_inner=(values.compile and outer > 1) or None,
        curvature_scale=values.curvature_scale if curved and values.curvature_scale != "none" else None,
    )


def _strategy(values: Namespace) -> str:
    if not _augments(values):
        return ""
    strategy = default_strategy(values.dataset) if values.strategy is None else values.strategy
    return "" if strategy == "none" else strategy


def _augments(values: Namespace) -> bool:
    return METHODS[values.method].siamese and not (values.method == "LCMat" and values.matching == "DC")


def _recorded(values: Namespace, given: Collection[str]) -> CondensationConfig:
    """Return the settings of the condensation that --resume names, which decides where results go."""
    path = Path(values.resume)
    folder = path.parent if path.is_file() else path
    config = read_record(folder)[0]
    if folder.resolve().name != config.name():
        raise UserError(f"--resume {path}: its folder was renamed; call it {config.name()} again")
    values.save_path = str(folder.parent)
    return replace(config, data=config.data.found_at(values.data_path, named="data_path" in given))


def _evaluation(values: Namespace, config: CondensationConfig) -> TrainingConfig:
    """Return how evaluation networks are trained."""
    values.epochs = values.epochs or default_epochs(config.method, config.data.dataset)
    values.step_size = values.step_size or -(-values.epochs // 2)
    values.augmentation = values.augmentation or default_augmentation(config.method, config.data.dataset)
    return training_config(values, values.batch)


def _idle(
    values: Namespace, config: CondensationConfig, training: TrainingConfig, kept: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the flags that have no part in the settings, each with the reason."""
    if config.model in values.cross:
        yield "cross", f"names {config.model}, which is evaluated as --model already"
    yield from idle_data(values)
    yield from idle_training(values, training)
    if values.resume is not None:
        for name in kept:
            yield name, "is not used with --resume, which keeps the settings of that condensation"
        yield "save_path", "is not used with --resume, which goes on where that condensation is"
        return
    yield from idle_condensation(values, config)


def idle_condensation(values: Namespace, config: CondensationConfig) -> Iterator[tuple[str, str]]:
    """Yield the flags of condensation that have no part in this one, each with the reason."""
    if config.method != "LCMat":
        for name in ("rho", "curvature", "curvature_scale", "matching"):
            yield name, f"is not used by {config.method}"
    elif not config.rho:
        for name in ("curvature", "curvature_scale"):
            yield name, "is not used with --rho 0"
    if config.method == "DM":
        for name in ("distance", "outer", "inner"):
            yield name, "is not used by DM"
    elif config.outer == 1:
        yield "inner", "is not used where each network serves one pixel step"
    if not _augments(values):
        yield "strategy", "is not used by DC, which does not augment while matching"
