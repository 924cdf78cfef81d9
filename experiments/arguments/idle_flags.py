"""Flags that are given but have no part in what is asked for, each with the reason."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator

from experiments.arguments.flags import OPTION_FLAGS, PROXY_FLAGS, SIZE_FLAGS
from experiments.arguments.settings import acting_options, batches_act, filled, is_scored
from experiments.command_line import Settings
from methods import METHODS
from methods.base import Method, Need
from utils.config import SelectionConfig, TrainingConfig
from utils.flags import flags_of
from utils.training.optimizers import optimizer_options, scheduler_options


def print_notes(idle: Iterable[tuple[str, str]], given: Collection[str]) -> None:
    """Print a line on each flag of ``given`` that is idle, with the last of its reasons."""
    for name, why in dict(idle).items():
        if name in given:
            print(f"note: --{name} {why}", file=sys.stderr)


def idle_flags(values: Namespace, settings: Settings, method: Method) -> Iterator[tuple[str, str]]:
    """Yield the flags that have no part in the settings, each with the reason."""
    yield "backpack", "is not needed: curvature has a closed form here"
    yield from idle_data(values)
    if values.model in values.cross:
        yield "cross", f"names {values.model}, which is trained as --model already"
    if values.train_batch and (values.selection_batch or not batches_act(settings.selection)):
        yield "batch", "is not used: every batch size that it stands for is given or not needed"
    if settings.coresets:
        chosen = (*SIZE_FLAGS, "balance", "scoring", "temperature", "prune", "partitions", "score", "scores")
        for name in (*chosen, *sorted(OPTION_FLAGS), *PROXY_FLAGS, "proxy"):
            yield name, "is not used with --coreset, which is selected already"
    else:
        yield from idle_selection(values, settings.selection, method)
    if settings.select_only:
        for name in ("save_network", "after_analyses", "exact_analyses", "profile"):
            yield name, "is not used with --select_only, which trains nothing on the coresets"
    yield from idle_training(values, settings.training, settings.selection.proxy)


def idle_selection(values: Namespace, selection: SelectionConfig, method: Method) -> Iterator[tuple[str, str]]:
    """Yield the flags that have no part in a selection, each with the reason."""
    name, own = selection.method, flags_of(method)
    if method.whole:
        for flag in (*SIZE_FLAGS, "balance", "prune"):
            yield flag, f"is not used by {name}, which keeps every image"
    elif not selection.balance:
        yield "at_least_one", "is not used with --balance no, which knows no classes"
    elif values.ipc and not (values.fraction or values.budget):
        yield "at_least_one", "is not used with --ipc, which is of each class"
    asked = filled(METHODS[values.selection], values)
    acting = {flags_of(each)[option].name for each in (asked, method) for option in acting_options(each)}
    beside = {own[option].name: own[other].name for option, (other, _) in method.acts_with.items()}
    for flag in sorted(OPTION_FLAGS - acting):
        other = beside.get(flag)
        yield flag, f"is not used by {name}" + (f" with --{other} {getattr(values, other)}" if other else "")
    if not is_scored(method):
        yield "scoring", f"is not used by {name}"
        yield "temperature", f"is not used by {name}"
    elif selection.scoring != "temperature":
        yield "temperature", f"is not used with --scoring {selection.scoring}"
    if not method.takes_partitions:
        yield "partitions", f"is for greedy facility location, which {name} does not do here"
    if not (selection.prune or Need.DIFFICULTY in method.needs):
        yield "score", f"is not used by {name} without --prune"
    if values.scores is not None and selection.scores is None:
        yield "scores", f"is not used: {name} ranks by none"
    if selection.proxy_file is not None:
        acting_still = {"selection_model", "save_features", *(["selection_batch"] if batches_act(selection) else [])}
        for flag in (*PROXY_FLAGS, "save_scores"):
            if flag not in acting_still:
                yield flag, "is not used with --proxy, which is trained already"
    if selection.proxy is None:
        for flag in (*PROXY_FLAGS, "proxy"):
            yield flag, f"is not used: {name} trains no proxy" + (" with --features" if values.features else "")
    if values.features is not None and selection.features is None:
        yield "features", f"is not used: {name} looks at none"


def idle_data(values: Namespace) -> Iterator[tuple[str, str]]:
    """Yield the flags of the data that do not act, each with the reason."""
    if not values.val:
        yield "val_ratio", "is not used without --val"
    if values.dataset != "ImageFolder":
        yield "background", f"is not used by {values.dataset}, whose images are opaque"


def idle_training(
    values: Namespace, training: TrainingConfig, proxy: TrainingConfig | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the flags of optimisers and schedule that do not act in these trainings, each with the reason."""
    optimizers = [("", training.optimizer)]
    if proxy is not None:
        optimizers.append(("selection_", proxy.optimizer))
    for prefix, optimizer in optimizers:
        taken = optimizer_options(optimizer.name)
        for option in ("momentum", "weight_decay", "nesterov"):
            if option not in taken:
                yield f"{prefix}{option}", f"is not used by {optimizer.name}"
        if "nesterov" in taken and optimizer.momentum == 0 and getattr(values, f"{prefix}nesterov"):
            yield f"{prefix}nesterov", "is not used without momentum"
    scheduler = training.scheduler
    used = scheduler_options(scheduler.name) if scheduler else frozenset()
    for option in ("min_lr", "gamma", "step_size"):
        if option not in used:
            yield option, f"is not used by --scheduler {values.scheduler}"
