"""The settings of a run as immutable values: each part is told what it needs, and nothing more."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.errors import UserError

OptionValue = bool | int | float | str


@dataclass(frozen=True)
class DataConfig:
    """Which images, at which size, and how much of the training set is held out."""

    dataset: str
    data_path: str = "data"
    im_size: int | None = None  # None: the data set's own size, enlarged where the network needs it
    val: bool = False
    val_ratio: float = 0.2


@dataclass(frozen=True)
class OptimizerConfig:
    """A torch.optim name and the options it is given, as far as it takes them."""

    name: str = "SGD"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True


@dataclass(frozen=True)
class SchedulerConfig:
    """A torch.optim.lr_scheduler name; ``min_lr`` is the cosine floor, ``step_size`` is in epochs."""

    name: str = "CosineAnnealingLR"
    min_lr: float = 1e-4
    gamma: float = 0.5
    step_size: int = 50


@dataclass(frozen=True)
class TrainingConfig:
    """One training of one network."""

    epochs: int = 200
    batch: int = 256
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig | None = field(default_factory=SchedulerConfig)  # None: constant lr
    augment: bool = True  # as the data set's table says
    augmentation: str = ""  # families of siamese augmentation in place of that, joined by "_"
    test_interval: int = 1  # epochs between tests; 0: only after the last
    test_fraction: float = 1.0
    amp: bool = False  # bf16 autocast, channels_last on CUDA
    compile: bool = False


@dataclass(frozen=True)
class SelectionConfig:
    """A method, its options, and the proxy that it looks through (None where it needs none)."""

    method: str
    balance: bool = True
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    model: str | None = None
    proxy: TrainingConfig | None = None
    features: str | None = None  # digest of the --features file that stood in for a proxy


@dataclass(frozen=True)
class RunConfig:
    """Everything that the result of one run depends on; its digest is part of the run's name."""

    data: DataConfig
    model: str
    selection: SelectionConfig
    fraction: float
    seed: int
    training: TrainingConfig
    repeat: int = 0  # of --num_eval freshly initialised networks on the same coreset

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON. The data's folder counts only where it defines the data."""
        values = dataclasses.asdict(self)
        if self.data.dataset != "ImageFolder":
            del values["data"]["data_path"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The configuration that :meth:`as_dict` gave, read back from JSON.

        Raises:
            UserError: a setting is missing, or unknown to this version.
        """
        try:
            selection = dict(values["selection"])
            if selection.get("proxy") is not None:
                selection["proxy"] = _training(selection["proxy"])
            parts = {
                "data": DataConfig(**values["data"]),
                "selection": SelectionConfig(**selection),
                "training": _training(values["training"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not the configuration of a run of this version: {error}") from error

    def digest(self) -> str:
        """8 hex digits that change with any setting."""
        return digest(self.as_dict())[:8]

    def name(self) -> str:
        """``<dataset>_<model>_<selection>_f<fraction>_s<seed>_<digest>``, the folder of this run."""
        return (
            f"{self.data.dataset}_{self.model}_{self.selection.method}_f{self.fraction:g}_s{self.seed}_{self.digest()}"
        )


@dataclass(frozen=True)
class ExecutionConfig:
    """Where and how the work is done; changes no result."""

    save_path: str = "result"
    gpu: tuple[int, ...] = ()
    workers: int = 4
    print_freq: int = 100
    data_on_device: str = "auto"
    memory_budget: int | None = None  # bytes for selection; None: a fraction of what is free
    resume: str | None = None
    checkpoint_interval: float = 10.0  # seconds between checkpoints
    features: str | None = None  # file to select by instead of a proxy
    save_features: bool = False
    profile: bool = False
    after_analyses: bool = False
    exact_analyses: bool = False


@dataclass(frozen=True)
class Settings:
    """A whole command line: one selection, retrained for every fraction, seed and repeat."""

    data: DataConfig
    model: str
    selection: SelectionConfig
    training: TrainingConfig
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    num_eval: int = 1
    cross: tuple[str, ...] = ()
    coresets: tuple[str, ...] = ()  # --coreset FILE …: selected elsewhere
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    given: frozenset[str] = frozenset()  # the flags, without dashes, that the command line names itself

    def run(self, fraction: float, seed: int, selection: SelectionConfig | None = None) -> RunConfig:
        """The configuration of one run of this command line, or of one with another selection."""
        return RunConfig(self.data, self.model, selection or self.selection, fraction, seed, self.training)


def _training(values: Mapping[str, Any]) -> TrainingConfig:
    scheduler = values["scheduler"]
    parts = {
        "optimizer": OptimizerConfig(**values["optimizer"]),
        "scheduler": None if scheduler is None else SchedulerConfig(**scheduler),
    }
    return TrainingConfig(**{**values, **parts})


def digest(values: Any) -> str:
    """SHA-256 in hex of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
