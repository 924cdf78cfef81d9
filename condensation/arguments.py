"""The command line of ``condense.py``: the shared flags that apply, and those of condensation."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from condensation.condensation_folder import read_record
from condensation.config import (
    INITS,
    MATCHINGS,
    METHODS,
    CondensationConfig,
    default_augmentation,
    default_epochs,
    default_pixel_lr,
    default_strategy,
    loops,
)
from condensation.curvature import CURVATURES
from condensation.objective import DISTANCES
from experiments.arguments import Choices, Flag, flags, read_flags
from experiments.arguments.settings import data_config, execution_config, idle_training, training_config
from experiments.arguments.types import augmentation, integer, number, one_of
from utils.config import ExecutionConfig, TrainingConfig
from utils.errors import UserError

_LEFT_OUT = {
    *("memory_budget", "features", "save_features", "after_analyses", "exact_analyses", "profile"),
    *("epochs", "train_batch"),
}
_OF_CONDENSATION = ("seed", "num_exp")  # shared flags that stand with those of condensation
_DEFAULTS: Mapping[str, object] = {  # of shared flags, as the literature evaluates synthetic sets
    "model": "ConvNet",
    "num_eval": 20,
    "test_interval": 0,
    "lr": 0.01,
    "nesterov": False,
    "scheduler": "StepLR",
    "gamma": 0.1,
    "step_size": None,
    "augmentation": None,
}
_HELP: Mapping[str, str] = {
    "dataset": "the images to condense",
    "model": "the network to condense and to evaluate with",
    "cross": "further networks to evaluate with",
    "num_eval": "train N fresh networks on each synthetic set (0: none)",
    "augmentation": "as for main.py (default: the siamese one of the data set, but none for DC)",
    "step_size": "epochs between the steps, cycles or restarts of a schedule (default: half of them)",
    "lr": "the highest learning rate",
    "batch": "images per step",
}


@dataclass(frozen=True)
class Command:
    """A whole command line: one condensation for every seed, and how its result is evaluated."""

    condensations: tuple[CondensationConfig, ...]
    training: TrainingConfig
    networks: tuple[str, ...]
    num_eval: int
    execution: ExecutionConfig


def parse(argv: Sequence[str], *, networks: tuple[str, ...], datasets: tuple[str, ...], description: str) -> Command:
    """What ``argv`` (without the program's name) asks for; flags that do not act are named on stderr.

    Raises:
        UserError: an unknown flag or name, or a value outside its bounds.
        SystemExit: with status 0, after ``--help``.
    """
    choices = Choices(networks, (), datasets)
    groups = _groups(choices)
    values, given = read_flags(argv, groups, "condense.py", description)
    shared = {flag.name: flag.default for members in flags(choices).values() for flag in members}
    values = Namespace(**{**shared, **vars(values)})
    if values.resume is None:
        condensations = tuple(_condensation(values, seed) for seed in range(values.seed, values.seed + values.num_exp))
    else:
        condensations = (_recorded(values),)
    config = condensations[0]
    training = _evaluation(values, config)
    others = tuple(network for network in values.cross if network != config.model)
    kept = [flag.name for title in ("Data", "Condensation") for flag in groups[title] if flag.name != "data_path"]
    idle = dict(_idle(values, config, training, kept))
    for note in (*(f"--{name} {idle[name]}" for name in idle if name in given), *_notes(config)):
        print(f"note: {note}", file=sys.stderr)
    return Command(condensations, training, (config.model, *others), values.num_eval, execution_config(values))


def _condensation(values: Namespace, seed: int) -> CondensationConfig:
    """What the flags say of one condensation; what the method does not take is at its default."""
    method, defaults = values.method, METHODS[values.method]
    outer, inner = (1, 1) if method == "DM" else loops(values.ipc)
    if method != "DM":
        outer, inner = values.outer or outer, values.inner or inner
    curved = method == "LCMat" and values.rho > 0
    return CondensationConfig(
        data=data_config(values),
        model=values.model,
        method=method,
        ipc=values.ipc,
        seed=seed,
        init=values.init or defaults.init,
        iterations=values.iterations or defaults.iterations,
        pixel_lr=values.pixel_lr or default_pixel_lr(method, values.dataset, values.ipc),
        strategy=_strategy(values),
        real_batch=values.real_batch,
        outer=outer,
        inner=inner if outer > 1 else 1,
        distance=None if method == "DM" else values.distance,
        rho=values.rho if curved else None,
        curvature=values.curvature if curved else None,
    )


def _strategy(values: Namespace) -> str:
    if not _augments(values):
        return ""
    strategy = default_strategy(values.dataset) if values.strategy is None else values.strategy
    return "" if strategy == "none" else strategy


def _augments(values: Namespace) -> bool:
    return METHODS[values.method].siamese and not (values.method == "LCMat" and values.matching == "DC")


def _recorded(values: Namespace) -> CondensationConfig:
    """The settings of the condensation that --resume names, which decides where results go."""
    path = Path(values.resume)
    folder = path.parent if path.is_file() else path
    config = read_record(folder)[0]
    if folder.resolve().name != config.name():
        raise UserError(f"--resume {path}: its folder was renamed; call it {config.name()} again")
    values.save_path = str(folder.parent)
    if config.data.dataset == "ImageFolder":
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, data_path=values.data_path))


def _evaluation(values: Namespace, config: CondensationConfig) -> TrainingConfig:
    """How evaluation networks are trained."""
    values.epochs = values.eval_epochs or default_epochs(config.method, config.data.dataset)
    values.step_size = values.step_size or -(-values.epochs // 2)
    values.augmentation = values.augmentation or default_augmentation(config.method, config.data.dataset)
    return training_config(values)


def _notes(config: CondensationConfig) -> Iterator[str]:
    """What to know of these settings."""
    if config.rho and not config.curvature_acts:
        yield (
            "with one image per class the variance of its gradients is zero, and so LCMat-C's curvature term moves "
            "no pixel; --curvature diagonal acts there"
        )


def _idle(
    values: Namespace, config: CondensationConfig, training: TrainingConfig, kept: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """The flags that have no part in the settings, each with the reason."""
    if config.model in values.cross:
        yield "cross", f"names {config.model}, which is evaluated as --model already"
    if not values.val:
        yield "val_ratio", "is not used without --val"
    yield from idle_training(values, training)
    if values.resume is not None:
        for name in kept:
            yield name, "is not used with --resume, which keeps the settings of that condensation"
        yield "save_path", "is not used with --resume, which goes on where that condensation is"
        return
    if config.method != "LCMat":
        for name in ("rho", "curvature", "matching"):
            yield name, f"is not used by {config.method}"
    elif not config.rho:
        yield "curvature", "is not used with --rho 0"
    if config.method == "DM":
        for name in ("distance", "outer", "inner"):
            yield name, "is not used by DM"
    elif config.outer == 1:
        yield "inner", "is not used where each network serves one pixel step"
    if not _augments(values):
        yield "strategy", "is not used by DC, which does not augment while matching"


def _groups(choices: Choices) -> dict[str, tuple[Flag, ...]]:
    """The flags of ``condense.py`` by the group that help shows them in."""
    shared = flags(choices)
    training = {flag.name: flag for flag in shared["Retraining"]}
    own = _condensation_flags()
    of_condensation = tuple(training[name] for name in _OF_CONDENSATION)
    left = tuple(flag for name, flag in training.items() if name not in _OF_CONDENSATION)
    epochs = Flag("--eval_epochs --epochs", integer(1), None, "N", "passes over the set (default: 1000, for DC 300)")
    groups = {
        "Data": shared["Data"],
        "Condensation": (*shared["Network"][:1], *own, *of_condensation),
        "Evaluation": (*shared["Network"][1:], epochs, *left),
        "Output": shared["Output"],
        "Machine": shared["Machine"],
    }
    return {
        title: tuple(_adapted(flag) for flag in members if flag.name not in _LEFT_OUT)
        for title, members in groups.items()
    }


def _adapted(flag: Flag) -> Flag:
    """A shared flag with the default and the words that it has here."""
    read = integer(0) if flag.name == "num_eval" else flag.read
    default, words = _DEFAULTS.get(flag.name, flag.default), _HELP.get(flag.name, flag.help)
    return dataclasses.replace(flag, read=read, default=default, help=words)


def _condensation_flags() -> tuple[Flag, ...]:
    return (
        Flag("--method", one_of("method", METHODS), "LCMat", "NAME", "the objective: LCMat (LCMat-C), DC, DSA or DM"),
        Flag("--ipc", integer(1), 1, "N", "synthetic images per class"),
        Flag("--init", one_of("init", INITS), None, "WHAT", "start from real images or noise (default: DC noise)"),
        Flag("--iterations", integer(1), None, "N", "networks to match with (default: 1000, for DM 20000)"),
        Flag("--rho", number("[0, inf)"), 1.0, "R", "LCMat: the radius; its curvature term weighs R/2"),
        Flag(
            "--curvature",
            one_of("curvature", CURVATURES),
            "variance",
            "WHAT",
            "LCMat: variance of the per-sample gradients of the last layer, or diagonal of its Hessian",
        ),
        Flag("--matching", one_of("matching", MATCHINGS), "DSA", "NAME", "LCMat: the first term, as in DC or DSA"),
        Flag(
            "--distance",
            one_of("distance", DISTANCES),
            "layerwise",
            "NAME",
            "of gradients: layerwise (the sum of "
            "1 - cosine over layers and outputs), squared (Euclidean), or cosine (of all weights)",
        ),
        Flag(
            "--strategy",
            augmentation,
            None,
            "NAME",
            "families of siamese augmentation while matching, or none "
            "(default: all that suit the data set, but none for DC)",
        ),
        Flag("--pixel_lr", number("(0, inf)"), None, "LR", "learning rate of the pixels (default: 0.1, for DM 1)"),
        Flag("--outer", integer(1), None, "N", "pixel steps with each network (default: as published for --ipc)"),
        Flag("--inner", integer(1), None, "N", "epochs of the network between two of them (default: the same)"),
        Flag("--real_batch", integer(1), 256, "N", "real images of each class in a step"),
    )
