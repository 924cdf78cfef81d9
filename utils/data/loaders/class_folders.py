"""Image files sorted into one folder a class."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from utils.data.images import WHITE, FileImages
from utils.errors import UserError
from utils.notes import note_once

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"))

_KEPT_BESIDE = frozenset((".txt", ".csv", ".json", ".xml", ".md", ".html", ".ini", ".db"))  # notes, not images
_OF_SYSTEMS = frozenset(("@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "system volume information"))
_NAMED = 3  # examples of what is left out


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

    def left_in_files(self, resize: int, crop: int, background: str = WHITE, crop_whole: bool = False) -> FileImages:
        """Return the images to be decoded to RGB when asked for: shorter side to ``resize``, centre ``crop``."""
        return FileImages(self.root, self.names, self.labels, 3, resize, crop, background, crop_whole)


@dataclass(frozen=True, eq=False)
class FoundFiles:
    """The image files of both halves of a data set, and the names of its classes in label order."""

    class_names: tuple[str, ...]
    train: LabelledFiles
    test: LabelledFiles


def find_classes(folder: Path, layout: str) -> tuple[str, ...]:
    """Return the names of all subfolders that are not hidden, sorted.

    Args:
        layout: what should be there, for the error.

    Raises:
        UserError: ``folder`` is missing or unreadable, or has no subfolder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: {layout}")
    names = tuple(entry.name for entry in _entries(folder) if _is_folder(entry) and not _hidden(entry.name))
    if not names:
        raise UserError(f"{folder} has no subfolder: {layout}")
    return names


def find_images(root: Path, half: str, class_names: tuple[str, ...], layout: str) -> LabelledFiles:
    """Find the images in and below each <root>/<half>/<class>, class by class, sorted by name.

    Hidden folders are not entered, and no folder is entered twice, however many links lead to it. What is left out,
    and why, is said in one line on stderr.

    Raises:
        UserError: a folder is missing or unreadable, there is no image, or a class not in ``class_names``.
    """
    folder = root / half
    present = find_classes(folder, layout)
    unknown = sorted(set(present) - set(class_names))
    if unknown:
        raise UserError(f"{folder} has classes without training images: {', '.join(unknown[:5])}")
    search = _Search(folder, present)
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        found = sorted(f"{half}/{name}" for name in search.images(class_name)) if class_name in present else []
        names += found
        labels += [label] * len(found)
    search.say_what_is_left_out()
    if not names:
        raise UserError(f"no images below {folder} (known: {' '.join(sorted(SUFFIXES))}): {layout}")
    return LabelledFiles(root, tuple(names), torch.tensor(labels))


class _Search:
    """A search for the images below the classes of ``folder``, which knows where it was and what it left out.

    A link leads neither to a folder that holds classes nor into one of them, whose images are its own: so ``up -> ..``
    in one class does not count the others.
    """

    def __init__(self, folder: Path, class_names: tuple[str, ...]) -> None:
        self._folder = folder
        self._left_out: defaultdict[str, list[str]] = defaultdict(list)  # names by the reason
        tops = [(folder / name).resolve() for name in class_names]
        self._classes = {_identity(top) for top in tops}
        self._above_classes = {_identity(path) for top in tops for path in top.parents}
        self._entered: set[tuple[int, int]] = set()
        for entry in _entries(folder):
            if entry.name not in class_names:
                self._pass_over(entry, entry.name, "image outside any class")

    def images(self, class_name: str) -> Iterator[str]:
        """Yield the paths relative to the folder of the images of a class; its own folders come before linked ones."""
        pending = deque([class_name])
        while pending:
            relative = pending.popleft()
            path = self._folder / relative
            identity = _identity(path)
            if identity in self._entered or (relative != class_name and self._is_elsewhere(path, identity)):
                self._left_out["folder that counts already"].append(relative)
                continue
            self._entered.add(identity)
            for entry in _entries(path):
                name = f"{relative}/{entry.name}"
                if _is_folder(entry) and not _hidden(entry.name):
                    (pending.append if entry.is_symlink() else pending.appendleft)(name)
                elif _is_image(entry):
                    yield name
                else:
                    self._pass_over(entry, name, "hidden image")

    def say_what_is_left_out(self) -> None:
        """Print it on stderr in one line, if it is anything."""
        parts = []
        for reason, names in self._left_out.items():
            more = ", …" if len(names) > _NAMED else ""
            parts.append(f"{len(names):,} × {reason} ({', '.join(names[:_NAMED])}{more})")
        if parts:
            note_once(" ".join(f"left out of {self._folder}: {'; '.join(parts)}".split()))

    def _is_elsewhere(self, path: Path, identity: tuple[int, int]) -> bool:
        """Return whether a folder below a class belongs to a class for another reason, or holds classes."""
        if identity in self._classes:
            return True
        if not path.is_symlink():
            return False
        return identity in self._above_classes or any(_identity(up) in self._classes for up in path.resolve().parents)

    def _pass_over(self, entry: os.DirEntry[str], name: str, image: str) -> None:
        """Note what is no image of a class; ``image`` says of an image file why it is none."""
        suffix = Path(entry.name).suffix.lower()
        if _is_folder(entry):
            self._left_out["hidden folder"].append(name)
        elif entry.is_symlink() and not Path(entry).exists():
            self._left_out["link to nothing"].append(name)
        elif suffix in SUFFIXES:
            self._left_out[image].append(name)
        elif not entry.name.startswith(".") and suffix not in _KEPT_BESIDE:
            self._left_out["file of another ending"].append(name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name. Raises UserError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def _identity(folder: Path) -> tuple[int, int]:
    """Return what is the same for all paths that lead to a folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):  # a link to itself
        return entry.is_dir()
    return False


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether a name is that of an image; a link to nothing so named is one, and refused when it is read."""
    named = not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SUFFIXES
    return named and (entry.is_symlink() or entry.is_file())


def _hidden(name: str) -> bool:
    """Return whether a folder is hidden, or a system's own (thumbnails, deleted files)."""
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS
