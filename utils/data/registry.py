"""The table of data sets, by name; what loads one is imported when it is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.data.base import Loader, Request

if TYPE_CHECKING:
    from utils.data.loaders.class_folders import FoundFiles


@dataclass(frozen=True)
class DataSpec:
    """A description of a loaded data set; mean and std per channel, in units of [0, 1]."""

    name: str
    channels: int
    im_size: int
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: str  # a name of utils.data.augmentation.AUGMENTATIONS, or none


@dataclass(frozen=True)
class DatasetSpec:
    """How to load a data set, and what is known of it beforehand; None where that is found out while loading.

    Attributes:
        loader: ``module:function`` within utils/data/loaders.
        finder: the same of a function that finds the image files without reading them, where it is a set of files.
    """

    loader: str
    channels: int | None = None
    size: int | None = None
    num_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentation: str = "none"
    finder: str | None = None

    @property
    def load(self) -> Loader:
        """The function that loads the data set; its module is imported here."""
        return _function(self.loader)

    @property
    def find(self) -> Callable[[Request], FoundFiles] | None:
        """The function that finds the image files; None where the data set is not one of image files."""
        return None if self.finder is None else _function(self.finder)


def _function(name: str) -> Any:
    module, function = name.split(":")
    return getattr(importlib.import_module(f"utils.data.loaders.{module}"), function)


_CIFAR, _MNIST = "torchvision_sets:load_cifar", "torchvision_sets:load_mnist"

DATASETS: dict[str, DatasetSpec] = {
    "CIFAR10": DatasetSpec(_CIFAR, 3, 32, 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "crop_flip"),
    "CIFAR100": DatasetSpec(_CIFAR, 3, 32, 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "crop_flip"),
    "MNIST": DatasetSpec(_MNIST, 1, 28, 10, (0.1307,), (0.3081,)),
    "permutedMNIST": DatasetSpec("torchvision_sets:load_permuted_mnist", 1, 28, 10, (0.1307,), (0.3081,)),
    "FashionMNIST": DatasetSpec(_MNIST, 1, 28, 10, (0.2861,), (0.3530,)),
    "QMNIST": DatasetSpec(_MNIST, 1, 28, 10, (0.1308,), (0.3088,)),
    "SVHN": DatasetSpec("torchvision_sets:load_svhn", 3, 32, 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "TinyImageNet": DatasetSpec(
        "tiny_imagenet:load_tiny_imagenet",
        *(3, 64, 200, (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
        finder="tiny_imagenet:find_tiny_imagenet",
    ),
    "ImageNet": DatasetSpec(
        "imagenet:load_imagenet",
        *(3, 224, 1000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "resized_crop_flip"),
        finder="imagenet:find_imagenet",
    ),
    "Digits": DatasetSpec("digits:load_digits", 1, 8, 10, (0.3058,), (0.3764,)),
    "ImageFolder": DatasetSpec("image_folder:load_image_folder", finder="image_folder:find_image_folder"),
}
