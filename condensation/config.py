"""The settings of a condensation as an immutable value, and the methods' own defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from condensation.curvature import CURVATURES
from condensation.objective import DISTANCES, SCALES
from utils.config import (
    DataConfig,
    OptionValue,
    SelectionConfig,
    digest,
    without_unset,
)
from utils.errors import UserError
from utils.flags import OneOf, flag, integer, number

_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
_UPRIGHT = ("MNIST", "permutedMNIST", "QMNIST", "SVHN", "Digits")  # a mirrored digit is no digit
_LARGE_SET = 100  # images per class from which DM moves CIFAR-10's pixels ten times as fast


@dataclass(frozen=True)
class MethodDefaults:
    """How a method is run unless the command line says otherwise.

    Attributes:
        label: its name in tables.
        init: what the pixels start from: ``real`` images or ``noise``.
        siamese: it augments both sets alike while matching.
        epochs: of the evaluation networks.
        augmented: the evaluation networks are trained with siamese augmentation.
    """

    label: str
    init: str
    siamese: bool
    iterations: int = 1000
    epochs: int = 1000
    augmented: bool = True


METHODS: dict[str, MethodDefaults] = {
    "LCMat": MethodDefaults("LCMat-C", "real", siamese=True),
    "DC": MethodDefaults("DC", "noise", siamese=False, epochs=300, augmented=False),
    "DSA": MethodDefaults("DSA", "real", siamese=True),
    "DM": MethodDefaults("DM", "real", siamese=True, iterations=20_000),
}
MATCHINGS = ("DC", "DSA")  # LCMat-C's first term
INITS = ("real", "noise")


@dataclass(frozen=True)
class CondensationConfig:
    """Everything that a synthetic set depends on; its digest is part of the folder's name.

    Attributes:
        ipc: images per class.
        strategy: families of siamese augmentation while matching, joined by ``_``; empty for none.
        real_batch: real images of a class that one step looks at.
        outer, inner: pixel steps with one network, and its epochs between two of them.
        distance, rho, curvature: of the objective; None where the method has no such term.
        curvature_scale: of the objective; None for ``none``, as it was before there was a choice.
    """

    data: DataConfig
    model: str
    seed: int
    method: str = flag(
        "LCMat", "--method", OneOf("method", METHODS), "the objective: LCMat (LCMat-C), DC, DSA or DM", unset=MISSING
    )
    ipc: int = flag(1, "--ipc", integer(1), "synthetic images per class", "N", unset=MISSING)
    init: str = flag(
        None,
        "--init",
        OneOf("init", INITS),
        "start from real images or noise (default: DC noise)",
        "WHAT",
        unset=MISSING,
    )
    iterations: int = flag(
        None, "--iterations", integer(1), "networks to match with (default: 1000, for DM 20000)", "N", unset=MISSING
    )
    pixel_lr: float = flag(
        None,
        "--pixel_lr",
        number("(0, inf)"),
        "learning rate of the pixels (default: 0.1, for DM 1)",
        "LR",
        unset=MISSING,
    )
    strategy: str = flag(
        None,
        "--strategy",
        "augmentation",
        "families of siamese augmentation while matching, or none "
        "(default: all that suit the data set, but none for DC)",
        unset=MISSING,
    )
    real_batch: int = flag(256, "--real_batch", integer(1), "real images of each class in a step", "N")
    outer: int = flag(
        None, "--outer", integer(1), "pixel steps with each network (default: as published for --ipc)", "N", unset=1
    )
    inner: int = flag(
        None, "--inner", integer(1), "epochs of the network between two of them (default: the same)", "N", unset=1
    )
    distance: str | None = flag(
        "layerwise",
        "--distance",
        OneOf("distance", DISTANCES),
        "of gradients: layerwise (the sum of 1 - cosine over layers and outputs), squared (Euclidean), "
        "or cosine (of all weights)",
        unset=None,
    )
    rho: float | None = flag(
        1.0, "--rho", number("[0, inf)"), "LCMat: the radius; its curvature term weighs R/2", "R", unset=None
    )
    curvature: str | None = flag(
        "variance",
        "--curvature",
        OneOf("curvature", CURVATURES),
        "LCMat: variance of the per-sample gradients of the last layer, or diagonal of its Hessian",
        "WHAT",
        unset=None,
    )

    curvature_scale: str | None = flag(
        "matching",
        "--curvature_scale",
        OneOf("curvature_scale", SCALES),
        "LCMat: what the curvature term is measured in: matching (it moves the pixels R/2 times as far as the first "
        "term), target (the curvature of the real images), or none",
        "WHAT",
        unset=None,
    )
    deterministic: bool | None = None  # as the evaluation networks are trained; None where not
    compile_inner: bool | None = None  # the networks are trained between pixel steps as --compile says; None where not

    @property
    def label(self) -> str:
        """The method's name in tables."""
        return METHODS[self.method].label

    @property
    def curvature_acts(self) -> bool:
        """Whether a second term moves the pixels: the variance over one image is zero whatever its pixels."""
        return bool(self.rho) and not (self.curvature == "variance" and self.ipc == 1)

    def as_dict(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON. The data's folder counts only where it defines the data."""
        return {**dataclasses.asdict(self), "data": self.data.as_dict()}

    def settings(self) -> CondensationConfig:
        """Return what was asked for, without what was found."""
        return dataclasses.replace(self, data=self.data.settings())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CondensationConfig:
        """Return the settings that :meth:`as_dict` gave, read back from JSON.

        Raises:
            UserError: a setting is missing, or unknown to this version.
        """
        try:
            return cls(**{**values, "data": DataConfig(**values["data"])})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not the settings of a condensation of this version: {error}") from error

    def name(self) -> str:
        """Return ``condensed_<dataset>_<method>_ipc<k>_s<seed>_<digest>``, the folder of this condensation."""
        values = without_unset(self.settings().as_dict())
        values["data"] = without_unset(values["data"])
        return f"condensed_{self.data.dataset}_{self.label}_ipc{self.ipc}_s{self.seed}_{digest(values)[:8]}"

    def selection(self) -> SelectionConfig:
        """Return what a run that is trained on the synthetic set records in a selection's place."""
        apart = ("data", "model", "method", "seed")
        options: dict[str, OptionValue] = {
            name: value for name, value in self.as_dict().items() if name not in apart and value is not None
        }
        return SelectionConfig(self.label, options=options, model=self.model)

    @classmethod
    def of_selection(cls, selection: SelectionConfig, data: DataConfig, seed: int) -> CondensationConfig:
        """Return the condensation that :meth:`selection` was of; the inverse of it."""
        method = next(name for name, defaults in METHODS.items() if defaults.label == selection.method)
        options: dict[str, Any] = dict(selection.options)
        return cls(data, str(selection.model), seed, method=method, **options)


def is_condensation(selection: SelectionConfig) -> bool:
    """Return whether a run's selection is a condensation."""
    return selection.method in {defaults.label for defaults in METHODS.values()}


def loops(ipc: int) -> tuple[int, int]:
    """Return (outer, inner): the published ones, else about 500 epochs of a network, 50 at most between two steps."""
    outer = min(ipc, 50)
    return _LOOPS.get(ipc, (outer, max(1, min(50, 500 // ipc))))


def default_strategy(dataset: str) -> str:
    """Return the families of siamese augmentation that suit a data set."""
    flip = "" if dataset in _UPRIGHT else "flip_"
    return f"color_crop_cutout_{flip}scale_rotate"


def default_epochs(method: str, dataset: str) -> int:
    """Return the epochs of evaluation networks: DC's are trained shortly, as far as they are not augmented."""
    return 1000 if _mild(method, dataset) else METHODS[method].epochs


def default_augmentation(method: str, dataset: str) -> str:
    """Return how evaluation networks' images are augmented: families of siamese augmentation, or ``none``."""
    if _mild(method, dataset):
        return "crop_scale_rotate"
    return default_strategy(dataset) if METHODS[method].augmented else "none"


def _mild(method: str, dataset: str) -> bool:
    """DC on MNIST, which has an augmentation of its own."""
    return method == "DC" and dataset == "MNIST"


def default_pixel_lr(method: str, dataset: str, ipc: int) -> float:
    """Return the step size of the pixels."""
    if method != "DM":
        return 0.1
    return 10.0 if dataset == "CIFAR10" and ipc >= _LARGE_SET else 1.0
