"""Labelled images, in memory as uint8 or as files that are decoded when asked for. Never mutated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.errors import UserError, choose
from utils.memory import free_memory

WHITE = "#ffffff"
_CHUNK = 1024  # images worked on at a time, so that temporaries stay small


@dataclass(frozen=True, eq=False)
class MemoryImages:
    """Images held in memory or on a device. Labels stay on the CPU wherever the images are.

    Attributes:
        images: uint8 [n, C, H, W], on any device; or float32 in the same units, but without their bounds.
        labels: int64 [n], on the CPU.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype not in (torch.uint8, torch.float32) or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 or float32 [n, C, H, W], not {self.images.dtype} {self.images.shape}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(self.images)}], not {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """C."""
        return self.images.shape[1]

    @property
    def nbytes(self) -> int:
        """The bytes of the pixels."""
        return self.images.nbytes

    def at(self, indices: Tensor) -> MemoryImages:
        """Return the images at ``indices``, int64 [m], in that order."""
        return MemoryImages(self.images[indices.to(self.images.device)], self.labels[indices])

    def to(self, device: torch.device | str) -> MemoryImages:
        """Return the same images held on ``device``; the labels stay where they are."""
        return MemoryImages(self.images.to(device), self.labels)

    def resized(self, size: int) -> MemoryImages:
        """Resize the images to [size, size], bilinear with antialiasing; return itself where nothing changes."""
        if self.images.shape[2:] == (size, size):
            return self
        resized = self.images.new_empty(len(self), self.channels, size, size)
        for source, target in zip(self.images.split(_CHUNK), resized.split(_CHUNK), strict=True):
            target.copy_(F.interpolate(source, (size, size), mode="bilinear", antialias=True))
        return MemoryImages(resized, self.labels)


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images left in their files: the shorter side is resized to ``resize``, the centre [crop, crop] kept.

    Attributes:
        root: folder that the paths are relative to.
        paths: one file an image.
        labels: int64 [n], on the CPU.
        channels: 1 (grey) or 3 (RGB).
        background: the colour seen through transparent pixels.
        crop_whole: whether random crops are of the image in its file, as is usual for ImageNet, instead of the
            resized one, as of images in memory.
    """

    root: Path
    paths: tuple[str, ...]
    labels: Tensor
    channels: int
    resize: int
    crop: int
    background: str = WHITE
    crop_whole: bool = False

    def __post_init__(self) -> None:
        if self.labels.dtype != torch.int64 or self.labels.shape != (len(self.paths),):
            raise ValueError(f"labels must be int64 [{len(self.paths)}], not {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Return the file of one image."""
        return self.root / self.paths[index]

    @property
    def nbytes(self) -> int:
        """The bytes that the pixels would take in memory."""
        return len(self) * self.channels * self.crop**2

    def at(self, indices: Tensor) -> FileImages:
        """Return the images at ``indices``, int64 [m], in that order."""
        paths = tuple(self.paths[index] for index in indices.tolist())
        return replace(self, paths=paths, labels=self.labels[indices])

    def to(self, device: torch.device | str) -> FileImages:
        """Return itself: files stay where they are."""
        return self


Images = MemoryImages | FileImages


@dataclass
class Moments:
    """Mean and standard deviation per channel, in units of [0, 1], from exact integer sums."""

    count: int = 0
    total: Tensor | int = 0  # int64 [C]
    squares: Tensor | int = 0  # int64 [C]

    def add(self, images: Tensor) -> None:
        """Add uint8 images [n, C, H, W] to the sums."""
        wide = images.to(torch.int32)
        self.count += wide.numel() // wide.shape[1]
        self.total = self.total + wide.sum((0, 2, 3))
        self.squares = self.squares + wide.square().sum((0, 2, 3))

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel; 1 for the deviation of a channel without variation."""
        total, squares = torch.as_tensor(self.total).tolist(), torch.as_tensor(self.squares).tolist()
        n = self.count
        mean = tuple(t / n / 255 for t in total)
        variance = [(n * q - t * t) / n**2 / 255**2 for t, q in zip(total, squares, strict=True)]
        return mean, tuple(v**0.5 if v > 0 else 1.0 for v in variance)


def moments(images: MemoryImages) -> Moments:
    """Return the moments of all ``images`` together."""
    result = Moments()
    for chunk in images.images.split(_CHUNK):
        result.add(chunk)
    return result


def fits_on_device(images: Images, device: torch.device | str, mode: str = "auto") -> bool:
    """Return whether to hold ``images`` on ``device``: ``on``, ``off``, or ``auto`` (if half its free memory will do).

    Raises:
        UserError: unknown mode, or ``on`` for images that are decoded from files.
    """
    mode = choose("value of --data_on_device", mode, ("auto", "on", "off"))
    if isinstance(images, FileImages):
        if mode == "on":
            raise UserError("these images are decoded from files as needed: use --data_on_device auto or off")
        return False
    device = torch.device(device)
    if mode != "auto" or device.type == "cpu":
        return mode != "off"
    return device.type == "cuda" and images.nbytes <= free_memory(device) // 2
