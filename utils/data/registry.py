"""The table of data sets; a loader's module, and what it is built on, is imported when a data set is loaded."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal

from utils.data.base import Loader, Request, Source

Augmentation = Literal["none", "crop_flip", "resized_crop_flip"]


@dataclass(frozen=True)
class DataSpec:
    """What a loaded data set is; mean and std per channel, in units of [0, 1]."""

    name: str
    channels: int
    im_size: int
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation


@dataclass(frozen=True)
class DatasetSpec:
    """How to load a data set, and what is known of it beforehand; None is found out while loading."""

    load: Loader
    channels: int | None = None
    size: int | None = None
    num_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentation: Augmentation = "none"


def _loader(module: str, function: str, *arguments: str) -> Loader:
    """The function of a module of utils/data/loaders, called with ``arguments`` and the request."""

    def load(request: Request) -> Source:
        found = getattr(importlib.import_module(f"utils.data.loaders.{module}"), function)
        return found(*arguments, request)

    return load


def _cifar(kind: str, num_classes: int, mean: tuple[float, ...], std: tuple[float, ...]) -> DatasetSpec:
    return DatasetSpec(_loader("torchvision_sets", "load_cifar", kind), 3, 32, num_classes, mean, std, "crop_flip")


def _mnist(kind: str, mean: float, std: float) -> DatasetSpec:
    return DatasetSpec(_loader("torchvision_sets", "load_mnist", kind), 1, 28, 10, (mean,), (std,))


DATASETS: dict[str, DatasetSpec] = {
    "CIFAR10": _cifar("CIFAR10", 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR100": _cifar("CIFAR100", 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "MNIST": _mnist("MNIST", 0.1307, 0.3081),
    "permutedMNIST": DatasetSpec(_loader("torchvision_sets", "load_permuted_mnist"), 1, 28, 10, (0.1307,), (0.3081,)),
    "FashionMNIST": _mnist("FashionMNIST", 0.2861, 0.3530),
    "QMNIST": _mnist("QMNIST", 0.1308, 0.3088),
    "SVHN": DatasetSpec(
        _loader("torchvision_sets", "load_svhn"), 3, 32, 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)
    ),
    "TinyImageNet": DatasetSpec(
        _loader("tiny_imagenet", "load_tiny_imagenet"), 3, 64, 200, (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)
    ),
    "ImageNet": DatasetSpec(
        _loader("imagenet", "load_imagenet"),
        3,
        224,
        1000,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "resized_crop_flip",
    ),
    "Digits": DatasetSpec(_loader("digits", "load_digits"), 1, 8, 10, (0.3058,), (0.3764,)),
    "ImageFolder": DatasetSpec(_loader("image_folder", "load_image_folder")),
}
