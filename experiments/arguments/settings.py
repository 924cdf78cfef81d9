"""From the values of all flags to Settings, and a note on each given flag that has no part in them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from experiments.arguments.choices import OPTION_FLAGS, Choices, MethodInfo, Spelling
from experiments.arguments.flags import PROXY
from utils.config import (
    DataConfig,
    ExecutionConfig,
    OptimizerConfig,
    OptionValue,
    SchedulerConfig,
    SelectionConfig,
    Settings,
    TrainingConfig,
)
from utils.errors import UserError
from utils.files import content_digest
from utils.training.optimizers import optimizer_options, scheduler_options

_PROXY_FLAGS = ("selection_model", "save_features", *(flag.name for flag in PROXY))
_SCHEDULE_FLAGS = ("min_lr", "gamma", "step_size")


def build(values: Namespace, given: frozenset[str], choices: Choices) -> tuple[Settings, list[str]]:
    """The settings, and one line on each flag of ``given`` that does not act in them.

    What the chosen method, optimiser or schedule does not take is left out, or at its default: it changes
    neither the result nor the run's name.

    Raises:
        UserError: values that do not go together, or a device that is not there.
    """
    asked = choices.method(values.selection)
    spelling = _spelling(asked, values)
    method = choices.method(spelling.method) if spelling else asked
    selection = _selection(values, method)
    settings = Settings(
        data=data_config(values),
        model=values.model,
        selection=selection,
        training=training_config(values),
        fractions=(1.0,) if method.whole else values.fraction,
        seeds=tuple(range(values.seed, values.seed + values.num_exp)),
        num_eval=values.num_eval,
        cross=tuple(network for network in values.cross if network != values.model),
        coresets=values.coreset,
        execution=execution_config(values),
        given=given,
    )
    acting = {"lr", *(OPTION_FLAGS[option] for option, _ in spelling.options)} if spelling else {"lr"}
    idle = dict(_idle(values, settings, method))
    return settings, [f"--{name} {why}" for name, why in idle.items() if name in given - acting]


def data_config(values: Namespace) -> DataConfig:
    """What the flags say of the data."""
    return DataConfig(
        dataset=values.dataset,
        data_path=values.data_path,
        im_size=values.im_size,
        val=values.val,
        val_ratio=values.val_ratio if values.val else DataConfig.val_ratio,
    )


def _spelling(method: MethodInfo, values: Namespace) -> Spelling | None:
    """The entry of ``method.canonical`` that the values meet."""
    for spelling in method.canonical:
        if all(getattr(values, OPTION_FLAGS[option]) == value for option, value in spelling.options):
            return spelling
    return None


def _selection(values: Namespace, method: MethodInfo) -> SelectionConfig:
    if values.coreset:
        return SelectionConfig(method.name)
    options: dict[str, OptionValue] = {
        option: getattr(values, OPTION_FLAGS[option])
        for option in method.options
        if option in OPTION_FLAGS and _acts(option, method, values)
    }
    replaced = method.proxy_unless is not None and bool(options.get(method.proxy_unless))
    if method.needs_proxy and values.features is not None:
        return SelectionConfig(method.name, values.balance, options, features=content_digest(Path(values.features)))
    if method.needs_proxy and not replaced:
        model = values.selection_model or values.model
        return SelectionConfig(method.name, values.balance, options, model, _proxy(values))
    return SelectionConfig(method.name, values.balance or method.whole, options)


def _acts(option: str, method: MethodInfo, values: Namespace) -> bool:
    return all(
        getattr(values, OPTION_FLAGS[condition.when]) in condition.values
        for condition in method.conditions
        if condition.option == option
    )


def _proxy(values: Namespace) -> TrainingConfig:
    return TrainingConfig(
        epochs=values.selection_epochs,
        batch=values.selection_batch or values.batch,
        optimizer=_optimizer(values, "selection_"),
        scheduler=None,
        augment=False,
        test_interval=values.selection_test_interval,
        test_fraction=values.selection_test_fraction,
        amp=values.amp,
        compile=values.compile,
    )


def training_config(values: Namespace) -> TrainingConfig:
    """What the flags say of retraining."""
    return TrainingConfig(
        epochs=values.epochs,
        batch=values.train_batch or values.batch,
        optimizer=_optimizer(values),
        scheduler=_scheduler(values),
        augment=values.augmentation != "none",
        augmentation="" if values.augmentation in ("standard", "none") else values.augmentation,
        test_interval=values.test_interval,
        test_fraction=values.test_fraction,
        amp=values.amp,
        compile=values.compile,
    )


def _optimizer(values: Namespace, prefix: str = "") -> OptimizerConfig:
    name = getattr(values, f"{prefix}optimizer")
    settings: dict[str, Any] = {option: getattr(values, f"{prefix}{option}") for option in optimizer_options(name)}
    if settings.get("nesterov") and settings["momentum"] == 0:
        settings["nesterov"] = False
    return OptimizerConfig(name, **settings)


def _scheduler(values: Namespace) -> SchedulerConfig | None:
    if values.scheduler == "none":
        return None
    uses = scheduler_options(values.scheduler)
    if "min_lr" in uses and values.min_lr > values.lr:
        raise UserError(
            f"--min_lr {values.min_lr:g} is above --lr {values.lr:g}, so {values.scheduler} would rise; "
            f"give a floor of at most {values.lr:g}, such as --min_lr 0"
        )
    return SchedulerConfig(values.scheduler, **{option: getattr(values, option) for option in uses})


def execution_config(values: Namespace) -> ExecutionConfig:
    """What the flags say of where and how the work is done."""
    return ExecutionConfig(
        save_path=values.save_path,
        gpu=_devices(values.gpu),
        workers=values.workers,
        print_freq=values.print_freq,
        data_on_device=values.data_on_device,
        memory_budget=values.memory_budget,
        resume=values.resume,
        checkpoint_interval=values.checkpoint_interval,
        features=values.features,
        save_features=values.save_features,
        profile=values.profile,
        after_analyses=values.after_analyses,
        exact_analyses=values.exact_analyses,
    )


def _devices(wanted: tuple[int, ...]) -> tuple[int, ...]:
    there = range(torch.cuda.device_count()) if wanted and torch.cuda.is_available() else range(0)
    for device in wanted:
        if not there:
            raise UserError(f"--gpu {device}: no CUDA device is available; leave --gpu out to use the CPU")
        if device not in there:
            raise UserError(f"--gpu {device}: no such device; available: {', '.join(map(str, there))}")
    return wanted


def _idle(values: Namespace, settings: Settings, method: MethodInfo) -> Iterator[tuple[str, str]]:
    """The flags that have no part in the settings, each with the reason."""
    yield "backpack", "is not needed: curvature has a closed form here"
    if not values.val:
        yield "val_ratio", "is not used without --val"
    if values.model in values.cross:
        yield "cross", f"names {values.model}, which is trained as --model already"
    if values.train_batch and (values.selection_batch or settings.selection.proxy is None):
        yield "batch", "is not used: every batch size that it stands for is given or not needed"
    yield from _idle_selection(values, settings, method)
    yield from idle_training(values, settings.training, settings.selection.proxy)


def _idle_selection(values: Namespace, settings: Settings, method: MethodInfo) -> Iterator[tuple[str, str]]:
    if settings.coresets:
        for name in ("balance", *OPTION_FLAGS.values(), *_PROXY_FLAGS):
            yield name, "is not used with --coreset, which is selected already"
        return
    if method.whole:
        yield "fraction", f"is not used by {method.name}, which keeps every image"
        yield "balance", f"is not used by {method.name}, which keeps every image"
    for option, name in OPTION_FLAGS.items():
        if option not in settings.selection.options:
            yield name, f"is not used by {method.name}{_beside(option, method, values)}"
    if settings.selection.proxy is None:
        for name in _PROXY_FLAGS:
            yield name, f"is not used: {method.name} trains no proxy" + (" with --features" if values.features else "")
    if values.features is not None and settings.selection.features is None:
        yield "features", f"is not used: {method.name} looks at none"


def _beside(option: str, method: MethodInfo, values: Namespace) -> str:
    """The settings of other options that keep ``option`` from acting."""
    whens = [OPTION_FLAGS[condition.when] for condition in method.conditions if condition.option == option]
    return "".join(f" with --{name} {getattr(values, name)}" for name in whens)


def idle_training(
    values: Namespace, training: TrainingConfig, proxy: TrainingConfig | None = None
) -> Iterator[tuple[str, str]]:
    """The flags of optimisers and schedule that do not act in these trainings, each with the reason."""
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
    for option in _SCHEDULE_FLAGS:
        if option not in used:
            yield option, f"is not used by --scheduler {values.scheduler}"
