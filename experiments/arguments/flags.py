"""The flags of the scripts, gathered from the dataclasses whose fields they set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import nets
from experiments.command_line import Settings
from methods import METHODS, SCORES
from methods.prune import Prune
from methods.scoring import SCORINGS, read_temperature
from methods.split import Split
from utils.config import (
    DataConfig,
    OptimizerConfig,
    SchedulerConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import SizeFlags
from utils.data.augmentation import AUGMENTATIONS
from utils.data.label_noise import read_label_noise
from utils.data.registry import DATASETS
from utils.data.siamese import FAMILIES, Siamese
from utils.errors import UserError, choose
from utils.execution import ExecutionConfig
from utils.flags import Flag, OneOf, flags_of, integer, yes_no
from utils.training.optimizers import SCHEDULERS, optimizer_name

Groups = Mapping[str, tuple[Flag, ...]]  # the flags by the heading that help shows them under

SHARED = (  # what every script sets, and the heading of those that name none
    (DataConfig, "Data"),
    (TrainingConfig, "Retraining"),
    (OptimizerConfig, "Retraining"),
    (SchedulerConfig, "Retraining"),
    (Settings, "Retraining"),
    (ExecutionConfig, "Output"),
)

_PROXY: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # the retraining's flag: the proxy's alias, what differs there
    "epochs": (
        "-se",
        {"default": 40, "read": integer(0), "help": "passes over the training set, at a constant lr (0: no training)"},
    ),
    "batch": ("-sb", {"default": None, "help": "images per step (default: --batch)"}),
    "optimizer": ("-so", {}),
    "lr": ("-slr", {"help": "learning rate"}),
    "momentum": ("-sm", {}),
    "weight_decay": ("-swd", {}),
    "nesterov": ("-sn", {}),
    "test_fraction": ("-stf", {}),
}

PROXY_FLAGS = (
    *("selection_model", "save_features", "save_scores", "selection_test_interval"),
    *(f"selection_{name}" for name in _PROXY),
)
SIZE_FLAGS = tuple(flag.name for flag in flags_of(SizeFlags).values())
OPTION_FLAGS = {flag.name for method in METHODS.values() for flag in flags_of(method).values()}

WITHOUT_FIELD = (
    Flag("--train_batch -tb", integer(1), None, "images per step of retraining (default: --batch)", "N", "Retraining"),
    Flag("--backpack", yes_no, False, "accepted and ignored: curvature has a closed form", "[yes|no]", "Selection"),
)


class _Augmentation(OneOf):
    """A reader of ``standard``, ``none``, a plain augmentation, or siamese families joined by ``_``, in any case."""

    def __call__(self, text: str) -> str:
        if text.casefold() in AUGMENTATIONS:
            return text.casefold()
        if "_" in text:
            return "_".join(Siamese.of(text).families)
        return choose(self.kind, text, ("standard", "none", *self.names))


def _colour(text: str) -> str:
    """Read a colour to ``#rrggbb``."""
    from PIL import ImageColor  # here, because --help need not wait for it

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise UserError(f"must be a colour such as white, black or #80a0ff, not {text!r}") from error
    return f"#{red:02x}{green:02x}{blue:02x}"


class _ScoreName(OneOf):
    """A reader of a score's name in any case, or of a column's as it is."""

    def __call__(self, text: str) -> str:
        return next((name for name in self.names if name.casefold() == text.casefold()), text)


_READERS: Mapping[str, Callable[[str], Any]] = {  # of names that the fields' module does not know
    "augmentation": _Augmentation("augmentation", FAMILIES),
    "colour": _colour,
    "dataset": OneOf("dataset", DATASETS),
    "label_noise": read_label_noise,
    "network": OneOf("network", nets.NETWORKS),
    "optimizer": optimizer_name,
    "partitions": lambda text: str(Split.read(text)),
    "prune": lambda text: str(Prune.read(text)),
    "scheduler": OneOf("scheduler", (*SCHEDULERS, "none")),
    "score": _ScoreName("score", SCORES),
    "scoring": OneOf("scoring", SCORINGS),
    "selection": OneOf("selection", METHODS),
    "temperature": read_temperature,
}


def selecting(cross: tuple[str, ...] = ()) -> Groups:
    """Return the flags of the scripts that select.

    Args:
        cross: the default of ``--cross``.
    """
    shared = {flag.name: flag for kind, group in SHARED for flag in flags_of(kind, group).values()}
    shared["cross"] = replace(shared["cross"], default=cross)
    if cross:  # a script that selects nothing
        del shared["select_only"]
    proxy = (
        replace(shared[name], names=f"--selection_{name} {alias}", group="Proxy training", **changes)
        for name, (alias, changes) in _PROXY.items()
    )
    chosen = (*flags_of(SelectionConfig, "Selection").values(), *flags_of(SizeFlags, "Selection").values())
    options = (flag for method in METHODS.values() for flag in flags_of(method, "Selection").values())
    titles = ("Data", "Network", "Selection", "Proxy training", "Retraining", "Output", "Machine")
    return grouped((*chosen, *shared.values(), *proxy, *options, *WITHOUT_FIELD), titles)


def grouped(flags: Iterable[Flag], titles: Iterable[str]) -> Groups:
    """Return flags under the headings ``titles``; one that several fields share is shown once, with all it is for."""
    merged: dict[str, Flag] = {}
    for flag in map(_bound, flags):
        known = merged.setdefault(flag.name, flag)
        if flag.help not in known.help:
            merged[flag.name] = replace(known, help=f"{known.help}; {flag.help}")
    return {title: tuple(flag for flag in merged.values() if flag.group == title) for title in titles}


def _bound(flag: Flag) -> Flag:
    """Return the flag with its reader, and with the names that this allows in its help."""
    read = _READERS[flag.read] if isinstance(flag.read, str) else flag.read
    return replace(flag, read=read, help=flag.help.replace("{names}", ", ".join(getattr(read, "names", ()))))
