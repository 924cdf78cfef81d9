"""The data sets that torchvision knows, read into memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from utils.data.base import Request, Source
from utils.data.download import obtain
from utils.data.images import Images, MemoryImages
from utils.files import set_aside
from utils.seeding import generator

_DIGITS = tuple("0123456789")


def load_cifar(request: Request) -> Source:
    """Load CIFAR10 or CIFAR100 from its Python batches, which torchvision verifies by checksum."""
    name = request.dataset
    kind = getattr(datasets, name)

    def open_both(download: bool) -> list[Any]:
        return [kind(request.root, train=train, download=download) for train in (True, False)]

    train, test = obtain(name, request.root, kind.base_folder, open_both)
    return Source(_cifar_half(train), _cifar_half(test), tuple(train.classes))


def load_mnist(request: Request) -> Source:
    """Load MNIST, FashionMNIST or QMNIST (whose digit is the first of its label columns)."""
    name = request.dataset
    kind = getattr(datasets, name)
    raw = request.root / name / "raw"

    def open_both(download: bool) -> list[Any]:
        return [kind(request.root, train=train, download=download) for train in (True, False)]

    train, test = obtain(name, request.root, f"{name}/raw", open_both, lambda: _set_aside_damaged(raw))
    names = tuple(train.classes) if name == "FashionMNIST" else _DIGITS
    return Source(_mnist_half(train), _mnist_half(test), names)


def load_permuted_mnist(request: Request) -> Source:
    """Load MNIST with its pixels in one fixed random order, the same for every image and every run."""
    source = load_mnist(dataclasses.replace(request, dataset="MNIST"))
    return Source(_permuted(source.train), _permuted(source.test), source.class_names)


def load_svhn(request: Request) -> Source:
    """Load SVHN's cropped digits; the label 10 of its files is the digit 0."""

    def open_both(download: bool) -> list[Any]:
        return [datasets.SVHN(request.root, split, download=download) for split in ("train", "test")]

    train, test = obtain("SVHN", request.root, "train_32x32.mat and test_32x32.mat", open_both)
    return Source(_held(train.data, train.labels), _held(test.data, test.labels), _DIGITS)


def pixel_permutation(pixels: int) -> Tensor:
    """Return which pixel of MNIST each pixel of permutedMNIST is, int64 [pixels]."""
    return torch.randperm(pixels, generator=generator(0, "permutedMNIST"))


def _cifar_half(half: datasets.CIFAR10) -> MemoryImages:
    return _held(half.data.transpose(0, 3, 1, 2), half.targets)  # [n, 32, 32, 3] to [n, 3, 32, 32]


def _mnist_half(half: datasets.MNIST) -> MemoryImages:
    digits = half.targets if half.targets.ndim == 1 else half.targets[:, 0]
    return _held(half.data.unsqueeze(1), digits)  # [n, 28, 28] to [n, 1, 28, 28]


def _permuted(half: Images) -> MemoryImages:
    assert isinstance(half, MemoryImages)
    flat = half.images.flatten(1)  # [n, 784]
    return MemoryImages(flat[:, pixel_permutation(flat.shape[1])].view_as(half.images), half.labels)


def _held(images: np.ndarray | Tensor, labels: Any) -> MemoryImages:
    """Hold images in memory: uint8 [n, C, H, W] in row-major order, labels int64 [n]."""
    return MemoryImages(
        torch.from_numpy(np.ascontiguousarray(images)), torch.as_tensor(labels, dtype=torch.int64).contiguous()
    )


def _set_aside_damaged(raw: Path) -> None:
    """Rename extracted idx files that are not whole, which torchvision would take for present."""
    for path in raw.glob("*-idx?-*"):
        if not path.suffix and not _is_whole(path):
            set_aside(path, "is not whole")


def _is_whole(path: Path) -> bool:
    try:
        read_sn3_pascalvincent_tensor(str(path))
    except (RuntimeError, AssertionError, ValueError, KeyError):
        return False
    return True
