"""From the values of all flags to Settings."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from experiments.command_line import Settings
from experiments.feature_shards import features_digest
from methods import METHODS, SCORES, revision_of
from methods.base import RANKING, Method, Need
from methods.split import Split
from utils.config import (
    DataConfig,
    OptimizerConfig,
    OptionValue,
    SchedulerConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import CoresetSize, SizeFlags
from utils.data.augmentation import AUGMENTATIONS, too_small
from utils.data.images import WHITE
from utils.data.registry import DATASETS
from utils.errors import UserError, choose
from utils.execution import ExecutionConfig
from utils.files import content_digest
from utils.flags import flags_of
from utils.training.optimizers import optimizer_options, scheduler_options

Kind = TypeVar("Kind")

_SMALLER = {"TinyImageNet": 32}  # sizes that the authors' code takes in place of the images' own
_SMALL = 64  # --im_size up to which images of a folder are shifted, and not cropped


def settings_of(values: Namespace, given: frozenset[str]) -> Settings:
    """Return the settings that the values of all flags ask for; ``given`` are those that the command line names."""
    name, method = asked_method(values)
    if getattr(values, "select_only", False) and (values.coreset or values.resume):
        other = "--coreset is selected already" if values.coreset else "--resume goes on to the end"
        raise UserError(f"--select_only ends after a selection, and {other}; leave one of them out")
    return filled(
        Settings,
        values,
        data=data_config(values),
        selection=SelectionConfig(name) if values.coreset else selection_config(values, name, method, given),
        training=training_config(values, values.train_batch or values.batch),
        sizes=_sizes(values, method),
        cross=tuple(network for network in values.cross if network != values.model),
        coresets=values.coreset,
        execution=execution_config(values),
        given=given,
    )


def filled(kind: type[Kind], values: Namespace, prefix: str = "", **rest: Any) -> Kind:
    """Return a dataclass of what its fields' flags say and of ``rest``; what has no flag is at its default."""
    names = {field: prefix + flag.name for field, flag in flags_of(kind).items()}
    said = {field: getattr(values, name) for field, name in names.items() if hasattr(values, name)}
    return kind(**{**said, **rest})


def data_config(values: Namespace) -> DataConfig:
    """Return what the flags say of the data."""
    noise = values.label_noise
    return filled(
        DataConfig,
        values,
        im_size=values.im_size or _SMALLER.get(values.dataset),
        val_ratio=values.val_ratio if values.val else DataConfig.val_ratio,
        background=values.background if values.dataset == "ImageFolder" and values.background != WHITE else None,
        noise_matrix=content_digest(Path(noise)) if isinstance(noise, str) else None,
    )


def training_config(values: Namespace, batch: int) -> TrainingConfig:
    """Return what the flags say of retraining, with ``batch`` images per step."""
    return filled(
        TrainingConfig,
        values,
        batch=batch,
        optimizer=_optimizer(values),
        scheduler=_scheduler(values),
        augment=values.augmentation != "none",
        augmentation=_augmentation(values),
    )


def _augmentation(values: Namespace) -> str:
    """Return what settings record in place of the data set's own augmentation, if anything.

    Raises:
        UserError: images too small for it.
    """
    own, asked = DATASETS[values.dataset].augmentation, values.augmentation
    if asked == "standard" and values.dataset == "ImageFolder":
        asked = "crop_flip" if values.im_size is None or values.im_size <= _SMALL else "resized_crop_flip"
    name = own if asked == "standard" else asked
    if name in AUGMENTATIONS and values.im_size is not None and values.im_size < AUGMENTATIONS[name].smallest_image:
        raise too_small(name, values.im_size)
    if name in ("none", own):
        return ""
    return f"random_{name}" if name in AUGMENTATIONS else name


def execution_config(values: Namespace) -> ExecutionConfig:
    """Return what the flags say of where and how the work is done."""
    if "cpu" in values.gpu:
        if len(values.gpu) > 1:
            raise UserError("--gpu takes cpu alone, or numbers of CUDA devices")
        return filled(ExecutionConfig, values)
    there = range(torch.cuda.device_count()) if values.gpu and torch.cuda.is_available() else range(0)
    for device in values.gpu:
        if not there:
            raise UserError(f"--gpu {device}: no CUDA device is available; leave --gpu out to use the CPU")
        if device not in there:
            raise UserError(f"--gpu {device}: no such device; available: {', '.join(map(str, there))}")
    return filled(ExecutionConfig, values)


def asked_method(values: Namespace) -> tuple[str, Method]:
    """Return the name and the method: those of the method that it equals, where there is one."""
    asked = filled(METHODS[values.selection], values)
    if asked.canonical is None:
        return values.selection, asked
    return asked.canonical, filled(METHODS[asked.canonical], values)


def _sizes(values: Namespace, method: Method) -> tuple[CoresetSize, ...]:
    """Return how much to keep: each size of which there is one."""
    if method.whole:
        return (CoresetSize.of(fraction=1.0),)
    if values.ipc and not values.balance:
        raise UserError("--ipc keeps images of each class, and --balance no ranks all at once; leave one of them out")
    return filled(SizeFlags, values).sizes(values.balance)


def acting_options(method: Method) -> dict[str, OptionValue]:
    """Return the options of a method that have a part in what it picks."""
    options = {option: getattr(method, option) for option in flags_of(method)}
    beside = {option: options[other] == value for option, (other, value) in method.acts_with.items()}
    return {option: value for option, value in options.items() if beside.get(option, True)}


def selection_config(values: Namespace, name: str, method: Method, given: Collection[str]) -> SelectionConfig:
    """Return what the flags say of a selection by the method that :func:`asked_method` returned."""
    needs, (score, scores) = _needs(values, method), _score(values, method, given)
    prune = values.prune if _is_pruned(values, method) else None
    base = SelectionConfig(
        name,
        values.balance or method.whole,
        acting_options(method),
        revision=revision_of(name, score if scores is None else None),
        prune=prune,
        partitions=_partitions(values, method),
        score=score,
        scores=scores,
    )
    if not needs or (needs == {Need.PRETRAINED} and values.features is None):
        return base
    scoring = _scoring(values, method, given)
    if values.proxy is not None:
        _check_proxy_serves(values, name, needs)
    features = None if values.features is None else features_digest(Path(values.features))
    return replace(
        base,
        model=values.selection_model or values.model if features is None else None,
        proxy=_proxy(values, scoring, given) if features is None else None,
        proxy_file=None if values.proxy is None else content_digest(Path(values.proxy)),
        features=features,
        scoring=scoring,
        temperature=values.temperature if scoring == "temperature" else None,
    )


def _needs(values: Namespace, method: Method) -> set[Need]:
    """Return what must be computed for the method, and for pruning; not what the --scores file says."""
    needs = {*method.needs, *((Need.DIFFICULTY,) if _is_pruned(values, method) else ())}
    return needs - (RANKING if values.scores is not None else set())


def _partitions(values: Namespace, method: Method) -> str | None:
    """Return how classes are split, None where they are not."""
    return values.partitions if method.takes_partitions and Split.read(values.partitions).parts != 1 else None


def _is_pruned(values: Namespace, method: Method) -> bool:
    return values.prune is not None and not method.whole


def _score(values: Namespace, method: Method, given: Collection[str]) -> tuple[str | None, str | None]:
    """Return the score that says which images are hard, and the digest of the file that scores come from."""
    by_difficulty = _is_pruned(values, method) or Need.DIFFICULTY in method.needs
    ranks = by_difficulty or bool(RANKING & set(method.needs))
    scores = content_digest(Path(values.scores)) if ranks and values.scores is not None else None
    named = by_difficulty and (scores is None or "score" in given)
    if named and scores is None:
        choose("score", values.score, SCORES)
    return values.score if named else None, scores


def _scoring(values: Namespace, method: Method, given: Collection[str]) -> str:
    """Return the point at which the method looks at the loss."""
    if not is_scored(method):
        return SelectionConfig.scoring
    released = bool(getattr(method, "released", False))
    own = "class_batches" if released else "temperature" if "temperature" in given else method.scoring
    scoring: str = values.scoring or own
    if released and scoring != own:
        raise UserError(f"--released scores in class_batches, as that code does; leave --scoring {scoring} out")
    if scoring == "class_batches" and values.features is not None:
        raise UserError("--scoring class_batches looks through the network, and --features says what it said before")
    return scoring


def is_scored(method: Method) -> bool:
    """Return whether what the proxy says of the images has a part in the method."""
    return method.looks_at_features or Need.REPEATS in method.needs


def _check_proxy_serves(values: Namespace, name: str, needs: Collection[Need]) -> None:
    """Raise UserError where a network that is trained already does not give the selection what it needs."""
    if values.features is not None:
        raise UserError("--features and --proxy both stand in for a proxy's training; leave one of them out")
    ranking = SCORES[values.score]().needs if Need.DIFFICULTY in needs and values.scores is None else ()
    for need in (Need.TRACE, Need.REPEATS):
        if need in {*needs, *ranking}:
            raise UserError(
                f"--proxy names a network that is trained already, and {name} needs {need.value}; leave it out, or "
                "give --scores"
            )


def _proxy(values: Namespace, scoring: str, given: Collection[str]) -> TrainingConfig:
    """Return what the flags say of the proxy's training; how often it is tested names a run only where it is given.

    One in a file is trained no more: of its training only the batch of ``class_batches`` has a part.
    """
    if values.proxy is not None:
        batch = values.selection_batch or values.batch if scoring == "class_batches" else TrainingConfig.batch
        return TrainingConfig(epochs=0, batch=batch, scheduler=None, augment=False)
    interval = "selection_test_interval"
    return filled(
        TrainingConfig,
        values,
        "selection_",
        test_interval=getattr(values, interval) if interval in given else TrainingConfig.test_interval,
        batch=values.selection_batch or values.batch,
        optimizer=_optimizer(values, "selection_"),
        scheduler=None,
        augment=False,
        amp=values.amp,
        compile=values.compile,
        deterministic=values.deterministic,
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


def batches_act(selection: SelectionConfig) -> bool:
    """Return whether a batch size of the proxy's has a part in the selection."""
    return selection.proxy is not None and (selection.proxy_file is None or selection.scoring == "classbatches_act")
