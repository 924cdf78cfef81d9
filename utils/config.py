"""The settings of a run as immutable values: each part is told what it needs, and nothing more."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

from utils.coreset_size import CoresetSize
from utils.errors import UserError
from utils.flags import flag, integer, number, path, switch
from utils.scenario import ScenarioConfig

OptionValue = bool | int | float | str

_LATER = (  # settings that earlier versions did not have
    *("label_noise", "noise_matrix", "background", "revision"),
    *("prune", "score", "scores", "curvature_scale", "partitions", "deterministic", "compile_inner", "proxy_file"),
)


@dataclass(frozen=True)
class DataConfig:
    """Which images, at which size, and how much of the training set is held out."""

    dataset: str = flag(
        "CIFAR10",
        "--dataset",
        "dataset",
        "the images to select from: {names}; names may be given in any case",
        unset=MISSING,
    )
    data_path: str = flag("data", "--data_path", path, "where data sets are looked for and downloaded to", "DIR")
    im_size: int | None = flag(  # None: the data set's own size, enlarged where the network needs it
        None, "--im_size", integer(1), "resize images to N x N (default: the data set's own size)", "N"
    )
    val: bool = switch("--val", "hold a stratified, seeded part of the training images out, as validation set")
    val_ratio: float = flag(0.2, "--val_ratio", number("(0, 1)"), "how much of the training set --val holds out", "R")
    label_noise: float | str | None = flag(
        None,
        "--label_noise",
        "label_noise",
        "wrong training labels on purpose: the rate at which a label becomes any other, or a text file of the chances "
        "that class i (row) is labelled j (column); test labels stay right",
        "R|FILE",
    )
    noise_matrix: str | None = None  # digest of the file that --label_noise names
    background: str | None = flag(
        None,
        "--background",
        "colour",
        "ImageFolder: what is seen through transparent pixels, a name or #rrggbb (default: white)",
        "COLOUR",
    )
    train_images: str | None = None  # fingerprints (utils.data.fingerprint) of what was found there; a record, and
    test_images: str | None = None  # no setting: they are in no digest. None in what earlier versions wrote
    moved_to: str | None = None  # where the images are now, if no longer at data_path; neither setting nor record

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: the folder where it defines the data, fingerprints where known."""
        left_out = {"moved_to"} if self.dataset == "ImageFolder" else {"moved_to", "data_path"}
        left_out |= {name for name in ("train_images", "test_images") if getattr(self, name) is None}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}

    def settings(self) -> DataConfig:
        """Return what was asked for, without what was found."""
        return dataclasses.replace(self, train_images=None, test_images=None)

    def changed_since(self, before: DataConfig) -> str:
        """Return in words which images are others than ``before``, as far as both are known; nothing if none are."""
        halves = {
            "training": (before.train_images, self.train_images),
            "test": (before.test_images, self.test_images),
        }
        known = {half: (old, new) for half, (old, new) in halves.items() if old is not None and new is not None}
        counts = {half: [text.partition("-")[0] for text in pair] for half, pair in known.items() if len(set(pair)) > 1}
        return " and ".join(
            f"{half} images ({old} then, {new} now)" if old != new else f"{half} images ({new}, but others)"
            for half, (old, new) in counts.items()
        )

    @property
    def title(self) -> str:
        """The data set, and what makes its labels wrong, as tables and plots call it."""
        return self.dataset if self.label_noise is None else f"{self.dataset}, label noise {self.label_noise}"

    @property
    def folder(self) -> str:
        """The folder where the images are now."""
        return self.data_path if self.moved_to is None else self.moved_to

    def found_at(self, data_path: str, named: bool = False) -> DataConfig:
        """Return the same images looked for in another folder.

        Args:
            named: whether somebody named it. Of an ImageFolder the folder says which images are meant: it stays, unless
                another one is named, where they were moved to.
        """
        if self.dataset != "ImageFolder":
            return dataclasses.replace(self, data_path=data_path)
        return dataclasses.replace(self, moved_to=data_path) if named and data_path != self.data_path else self


@dataclass(frozen=True)
class OptimizerConfig:
    """A torch.optim name and the options it is given, as far as it takes them."""

    name: str = flag("SGD", "--optimizer", "optimizer", "a torch.optim class, given the settings that it takes")
    lr: float = flag(0.1, "--lr", number("(0, inf)"), "the highest learning rate", "LR")
    momentum: float = flag(0.9, "--momentum", number("[0, 1)"), "momentum, for optimisers that have it", "M")
    weight_decay: float = flag(5e-4, "--weight_decay -wd", number("[0, inf)"), "weight decay", "W")
    nesterov: bool = switch("--nesterov", "Nesterov's form of momentum, for SGD", True)


@dataclass(frozen=True)
class SchedulerConfig:
    """A torch.optim.lr_scheduler name, and its settings."""

    name: str = flag(
        "CosineAnnealingLR",
        "--scheduler",
        "scheduler",
        "learning-rate schedule, stepped every batch: {names} (a constant lr)",
    )
    min_lr: float = flag(1e-4, "--min_lr", number("[0, inf)"), "where schedules that fall to a floor end", "LR")
    gamma: float = flag(
        0.5, "--gamma", number("(0, 1]"), "factor of StepLR, ExponentialLR (an epoch) and ConstantLR", "G"
    )
    step_size: int = flag(
        50, "--step_size", integer(1), "epochs between the steps, cycles or restarts of a schedule", "N"
    )


@dataclass(frozen=True)
class TrainingConfig:
    """One training of one network."""

    epochs: int = flag(200, "--epochs", integer(1), "passes over the coreset", "N")
    batch: int = flag(256, "--batch --batch-size -b", integer(1), "images per step, of proxy and retraining alike", "N")
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig | None = field(default_factory=SchedulerConfig)  # None: constant lr
    augment: bool = True  # as the data set's table says
    augmentation: str = flag(  # in place of that: families of siamese augmentation joined by "_", or random_<plain>
        "standard",
        "--augmentation",
        "augmentation",
        "standard (the data set's own; of an ImageFolder resized_crop_flip above --im_size 64, else crop_flip), none, "
        "crop_flip, resized_crop_flip, or siamese: one or several of {names}, joined by _",
        unset="",
    )
    test_interval: int = flag(
        1, "--test_interval -ti", integer(0), "test every N epochs and after the last (0: only then)", "N"
    )
    test_fraction: float = flag(
        1.0, "--test_fraction -tf", number("(0, 1]"), "the part of the test set to test on", "F"
    )
    amp: bool = switch(  # bf16 autocast, channels_last on CUDA
        "--amp", "train in bfloat16 where that is safe; faster on GPUs, results differ in rounding", group="Machine"
    )
    compile: bool = switch("--compile", "compile networks with torch.compile before training", group="Machine")
    deterministic: bool = switch(
        "--deterministic",
        "compute the same bits each time on a GPU too, more slowly; where an operation cannot, the run is refused",
        group="Machine",
    )


@dataclass(frozen=True)
class SelectionConfig:
    """A method, its options, and the proxy that it looks through (None where it needs none)."""

    method: str = flag("LCMat", "--selection", "selection", "the method: {names}", unset=MISSING)
    balance: bool = switch(
        "--balance", "give every class its share of the coreset, instead of ranking all at once", True
    )
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    model: str | None = flag(
        None,
        "--selection_model",
        "network",
        "the network to select with, where it is not the one to train (default: --model)",
    )
    proxy: TrainingConfig | None = None
    features: str | None = None  # digest of the --features file that stood in for a proxy
    scoring: str = flag(
        None,
        "--scoring",
        "scoring",
        "the point at which methods look at the loss: {names} (default: temperature for LCMat and LCMatGC, "
        "evaluation for others)",
        unset="evaluation",
    )
    temperature: float | str | None = flag(  # a number or auto; None with another scoring
        "auto",
        "--temperature",
        "temperature",
        "what --scoring temperature divides logits by, a number or auto",
        "T",
        unset=None,
    )
    revision: int | None = None  # of the method, where it picks otherwise than an earlier version did

    prune: str | None = flag(
        None,
        "--prune",
        "prune",
        "leave the hardest, or easiest, share of the images out before any method selects, such as hardest:0.2",
        "END:R",
    )
    partitions: str | None = flag(  # None: all at once
        "1",
        "--partitions",
        "partitions",
        "facility location (LCMat, Craig, ...): split each class into P parts, pick from each, and then from what "
        "these picked; P for random parts, near:P for images near each other, auto for such parts of about 5,000 from "
        "20,000 images on",
        "P|near:P|auto",
        unset=None,
    )
    score: str | None = flag(  # None: not needed, or the only column of the --scores file
        "AUM",
        "--score",
        "score",
        "what says how hard an image is, for --prune, CCS and D2: {names}, or a column of --scores",
        unset=None,
    )
    scores: str | None = None  # digest of the --scores file that stood in for a proxy's
    proxy_file: str | None = None  # digest of the --proxy file that was taken instead of training one

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SelectionConfig:
        """Return what ``dataclasses.asdict`` gave, read back from JSON. Raises TypeError, ValueError or KeyError."""
        proxy = values["proxy"]
        return cls(**{**values, "proxy": None if proxy is None else _training(proxy)})


@dataclass(frozen=True)
class RunConfig:
    """Everything that the result of one run depends on; its digest is part of the run's name."""

    data: DataConfig
    model: str
    selection: SelectionConfig
    size: CoresetSize
    seed: int
    training: TrainingConfig
    repeat: int = 0  # of --num_eval freshly initialised networks on the same coreset
    scenario: ScenarioConfig | None = None  # in which the classes come step by step; None: all at once

    def as_dict(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON. The data's folder counts only where it defines the data."""
        values = {**dataclasses.asdict(self), "data": self.data.as_dict()}
        del values["size"]
        if self.scenario is None:
            del values["scenario"]
        return values | self.size.as_dict()

    @property
    def scenario_label(self) -> str:
        """The scenario in words; nothing where all classes come at once."""
        return "" if self.scenario is None else self.scenario.label

    def settings(self) -> RunConfig:
        """Return what was asked for, without what was found."""
        return dataclasses.replace(self, data=self.data.settings())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Return the configuration that :meth:`as_dict` gave, read back from JSON.

        Raises:
            UserError: a setting is missing, or unknown to this version.
        """
        try:
            size = CoresetSize.from_dict(values)
            values = {name: value for name, value in values.items() if name not in size.as_dict()}
            parts = {
                "size": size,
                "data": DataConfig(**values["data"]),
                "selection": SelectionConfig.from_dict(values["selection"]),
                "training": _training(values["training"]),
                "scenario": ScenarioConfig.from_dict(values["scenario"]) if "scenario" in values else None,
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not the configuration of a run of this version: {error}") from error

    def digest(self) -> str:
        """Return 8 hex digits that change with any setting."""
        values = self.settings().as_dict()
        for part in ("data", "selection", "training"):
            values[part] = without_unset(values[part])
        if values["selection"]["proxy"] is not None:
            values["selection"]["proxy"] = without_unset(values["selection"]["proxy"])
        point = (self.selection.scoring, self.selection.temperature)
        if point == ("evaluation", None):  # where all looked before it was an option: their names stay
            del values["selection"]["scoring"], values["selection"]["temperature"]
        return digest(values)[:8]

    def name(self) -> str:
        """Return ``<dataset>_<model>_<selection>_f<fraction>_s<seed>_<digest>``, the folder of this run.

        Of a size in images ``budget<N>`` or ``ipc<N>`` takes the place of ``f<fraction>``. In a scenario
        ``_<protocol><steps>_o<order seed>`` stands before the seed.
        """
        scenario = self.scenario
        place = "" if scenario is None else f"_{scenario.protocol}{scenario.steps}_o{scenario.order_seed}"
        what = f"{self.data.dataset}_{self.model}_{self.selection.method}_{self.size.tag}"
        return f"{what}{place}_s{self.seed}_{self.digest()}"


def _training(values: Mapping[str, Any]) -> TrainingConfig:
    scheduler = values["scheduler"]
    parts = {
        "optimizer": OptimizerConfig(**values["optimizer"]),
        "scheduler": None if scheduler is None else SchedulerConfig(**scheduler),
    }
    return TrainingConfig(**{**values, **parts})


def without_unset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that came later and are not used: names of runs from before stay as they were."""
    return {name: each for name, each in values.items() if name not in _LATER or not (each is None or each is False)}


def digest(values: Any) -> str:
    """SHA-256 in hex of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
