"""What the images of a data set are, told without decoding them: one short text for each half."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from utils.config import DataConfig
from utils.data.base import Request
from utils.data.images import FileImages, Images
from utils.data.loaders.class_folders import LabelledFiles
from utils.data.registry import DATASETS
from utils.errors import UserError, choose

_CHUNK = 1024  # images hashed at a time
_READ_WHOLE = 4_000_000_000  # bytes: of data sets that take more, each file's two ends are read


def identified(config: DataConfig, workers: int = 4) -> DataConfig:
    """Return the configuration with the fingerprints of both halves as they are now.

    Raises:
        UserError: unknown data set, or missing or unreadable data.
    """
    train, test = _both_halves(choose("dataset", config.dataset, DATASETS), config.data_path, workers)
    return dataclasses.replace(config, train_images=train, test_images=test)


@functools.lru_cache(maxsize=4)
def _both_halves(dataset: str, data_path: str, workers: int) -> tuple[str, str]:
    """Return the fingerprints of the training and the test images at their own size."""
    known = DATASETS[dataset]
    request = Request(dataset, Path(data_path).expanduser(), im_size=None, smallest_image=1, workers=workers)
    if known.find is None:
        source = known.load(request)
        return of_images(source.train, source.class_names), of_images(source.test, source.class_names)
    found = known.find(request)
    return of_files(found.train, found.class_names, workers), of_files(found.test, found.class_names, workers)


forget = _both_halves.cache_clear  # for a process in which data sets change


def of_images(images: Images, class_names: tuple[str, ...]) -> str:
    """Return the fingerprint of images in memory, by names of classes, labels and pixels."""
    if isinstance(images, FileImages):
        raise TypeError("images in files are told by their files")
    chunks = (memoryview(chunk.cpu().numpy()) for chunk in images.images.split(_CHUNK))
    return _fingerprint(class_names, images.labels, chunks)


def of_files(files: LabelledFiles, class_names: tuple[str, ...], workers: int = 4) -> str:
    """Return the fingerprint of image files, by names of classes, labels, and names and content of the files.

    Where they take more than 4 GB in all, the content of a file is its size and its first and last 4,096 bytes.

    Raises:
        UserError: a file cannot be read.
    """
    from utils.data.image_files import hash_files  # brings PIL and tqdm, which --help does not need

    try:
        whole = sum(path.stat().st_size for path in files.paths) <= _READ_WHOLE
        contents = hash_files(files.paths, workers, ends=None if whole else 4096)
        named = (os.fsencode(name) + b"\0" + content for name, content in zip(files.names, contents, strict=True))
        return _fingerprint(class_names, files.labels, named)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def _fingerprint(class_names: tuple[str, ...], labels: Tensor, contents: Iterable[bytes | memoryview]) -> str:
    """Return the number of images and 16 hex digits of all that they are."""
    digest = hashlib.sha256(repr(class_names).encode())
    digest.update(labels.numpy().tobytes())
    for content in contents:
        digest.update(content)
    return f"{len(labels)}-{digest.hexdigest()[:16]}"
