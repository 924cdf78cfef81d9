"""What the images of a data set are, told without decoding them: their classes and files, and a fingerprint."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from utils.config import DataConfig
from utils.data.base import Request
from utils.data.images import FileImages, Images
from utils.data.loaders.class_folders import LabelledFiles
from utils.data.registry import DATASETS
from utils.errors import UserError, choose
from utils.notes import note_once

_CHUNK = 1024  # images hashed at a time
_THREADS = 4  # that read files
_READ_WHOLE = 4_000_000_000  # bytes: of data sets that take more, each file's two ends are read


@dataclass(frozen=True, eq=False)
class Contents:
    """What the images of one half of a data set are.

    Attributes:
        fingerprint: the number of images and 16 hex digits that change with names of classes, labels and images.
        class_names: in the order of labels.
        labels: int64 [n], the right ones.
        files: [n], below the data set's folder; None where images are not single files.
    """

    fingerprint: str
    class_names: tuple[str, ...]
    labels: np.ndarray
    files: tuple[str, ...] | None

    @classmethod
    def of_images(cls, images: Images, class_names: tuple[str, ...]) -> Contents:
        """Tell images in memory, at their own size, by their pixels."""
        if isinstance(images, FileImages):
            raise TypeError("images in files are told by their files")
        chunks = (memoryview(chunk.cpu().numpy()) for chunk in images.images.split(_CHUNK))
        return cls(_fingerprint(class_names, images.labels, chunks), class_names, images.labels.numpy(), None)

    @classmethod
    def of_files(cls, files: LabelledFiles, class_names: tuple[str, ...]) -> Contents:
        """Tell image files by their names and their content.

        Where they take more than 4 GB in all, the content of a file is its size and its first and last 4,096 bytes.

        Raises:
            UserError: a file cannot be read.
        """
        from utils.data.image_files import hash_files  # brings PIL and tqdm, which --help does not need

        try:
            whole = sum(path.stat().st_size for path in files.paths) <= _READ_WHOLE
            contents = hash_files(files.paths, _THREADS, ends=None if whole else 4096)
            named = (os.fsencode(name) + b"\0" + content for name, content in zip(files.names, contents, strict=True))
            fingerprint = _fingerprint(class_names, files.labels, named)
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
        return cls(fingerprint, class_names, files.labels.numpy(), files.names)


def identified(config: DataConfig) -> DataConfig:
    """Return the configuration with the fingerprints of both halves as they are now.

    Raises:
        UserError: unknown data set, or missing or unreadable data.
    """
    train, test = contents(config)
    return dataclasses.replace(config, train_images=train.fingerprint, test_images=test.fingerprint)


def contents(config: DataConfig) -> tuple[Contents, Contents]:
    """Return what the training and the test images are.

    Raises:
        UserError: unknown data set, or missing or unreadable data.
    """
    return _both_halves(choose("dataset", config.dataset, DATASETS), config.folder)


def check_same_images(where: str | Path, made_of: str | None, now: DataConfig) -> None:
    """Raise UserError where something was made of other training images than those of ``now``, as far as is known."""
    found = now.train_images
    if made_of is not None and found is not None and made_of != found:
        raise UserError(
            f"{where} was made of other images than {now.dataset} has at {now.folder} now (training images "
            f"{made_of} then, {found} now): give the --data_path that it was made of"
        )


def check_made_of(where: str | Path, made_of: str | None, now: DataConfig) -> None:
    """Raise UserError as :func:`check_same_images`; say so in one line where it is not known what it was made of."""
    check_same_images(where, made_of, now)
    if made_of is None:
        note_unknown_images(where, now)


def note_unknown_images(where: str | Path, now: DataConfig) -> None:
    """Say that something from elsewhere is taken to be of the images of ``now``."""
    note_once(f"{where} does not say of which images it was made; taken to be of {now.dataset}")


@functools.lru_cache(maxsize=2)
def _both_halves(dataset: str, data_path: str) -> tuple[Contents, Contents]:
    known = DATASETS[dataset]
    request = Request(dataset, Path(data_path).expanduser(), im_size=None, smallest_image=1, workers=_THREADS)
    if known.find is None:
        source = known.load(request)
        names = source.class_names
        return Contents.of_images(source.train, names), Contents.of_images(source.test, names)
    found = known.find(request)
    return Contents.of_files(found.train, found.class_names), Contents.of_files(found.test, found.class_names)


forget = _both_halves.cache_clear  # for a process in which data sets change


def _fingerprint(class_names: tuple[str, ...], labels: Tensor, contents: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256(repr(class_names).encode())
    digest.update(labels.numpy().tobytes())
    for content in contents:
        digest.update(content)
    return f"{len(labels)}-{digest.hexdigest()[:16]}"
