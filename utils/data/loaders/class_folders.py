"""Image files sorted into one folder a class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from utils.data.images import FileImages
from utils.errors import UserError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"))


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Image files and their labels.

    Attributes:
        root: folder that the names are relative to.
        labels: int64 [n].
    """

    root: Path
    names: tuple[str, ...]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> list[Path]:
        """The files, below ``root``."""
        return [self.root / name for name in self.names]

    def left_in_files(self, resize: int, crop: int) -> FileImages:
        """Return the images to be decoded to RGB when asked for: shorter side to ``resize``, centre ``crop``."""
        return FileImages(self.root, self.names, self.labels, 3, resize, crop)


@dataclass(frozen=True, eq=False)
class FoundFiles:
    """The image files of both halves of a data set, and the names of its classes in label order."""

    class_names: tuple[str, ...]
    train: LabelledFiles
    test: LabelledFiles


def find_classes(folder: Path, layout: str) -> tuple[str, ...]:
    """Return the names of all subfolders, sorted.

    Args:
        layout: what should be there, for the error.

    Raises:
        UserError: ``folder`` is missing or unreadable, or has no subfolder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: {layout}")
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and _visible(entry.name))
    except OSError as error:
        _cannot_read(error)
    if not names:
        raise UserError(f"{folder} has no subfolder: {layout}")
    return tuple(names)


def find_images(root: Path, half: str, class_names: tuple[str, ...], layout: str) -> LabelledFiles:
    """Find the images in and below each <root>/<half>/<class>, class by class, sorted by name.

    Raises:
        UserError: a folder is missing or unreadable, there is no image, or a class not in ``class_names``.
    """
    folder = root / half
    present = find_classes(folder, layout)
    unknown = sorted(set(present) - set(class_names))
    if unknown:
        raise UserError(f"{folder} has classes without training images: {', '.join(unknown[:5])}")
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        found = _images_below(folder / class_name, root) if class_name in present else []
        names += found
        labels += [label] * len(found)
    if not names:
        raise UserError(f"no images below {folder} (known: {' '.join(sorted(SUFFIXES))}): {layout}")
    return LabelledFiles(root, tuple(names), torch.tensor(labels))


def _images_below(folder: Path, root: Path) -> list[str]:
    """Return the paths relative to ``root`` of all images in and below ``folder``, sorted."""
    found: list[str] = []
    for parent, _, names in os.walk(folder, onerror=_cannot_read, followlinks=True):
        relative = os.path.relpath(parent, root)
        found += [f"{relative}/{name}" for name in names if _is_image(name)]
    return sorted(found)


def _is_image(name: str) -> bool:
    return _visible(name) and f".{name.rpartition('.')[2].lower()}" in SUFFIXES


def _visible(name: str) -> bool:
    return not name.startswith(".")


def _cannot_read(error: OSError) -> NoReturn:
    raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
