"""Loading a data set: its images, the pool to select from, and a fingerprint of all that they are."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from utils.config import DataConfig
from utils.data.base import Request, Source
from utils.data.images import WHITE, Images, MemoryImages
from utils.data.label_noise import confusion_matrix, noisy_labels
from utils.data.registry import DATASETS, DatasetSpec, DataSpec
from utils.data.split import hold_out
from utils.distributed import current_world
from utils.errors import UserError, choose

_CHUNK = 1024  # images hashed at a time


@dataclass(frozen=True, eq=False)
class Data:
    """A loaded data set as the stages of a run use it.

    Attributes:
        pool: int64 [m], ascending: the training images that may be selected and trained on.
        held_out: int64, ascending: the training images kept for validation; empty without ``--val``.
        fingerprint: hex digest of what the images, labels and normalisation are, for cache keys.
        wrong: bool [len(train)], which training labels ``--label_noise`` made wrong; None without it.
    """

    spec: DataSpec
    train: Images
    test: Images
    pool: Tensor
    held_out: Tensor
    fingerprint: str
    wrong: Tensor | None = None


def load_data(config: DataConfig, smallest_image: int = 1, *, seed: int = 0, workers: int = 4) -> Data:
    """Load, or download and load, the data set that ``config`` names.

    Args:
        smallest_image: height and width that the network needs; smaller images are enlarged to it, or to the usual
            28 (one channel) or 32 (three) where that suffices, unless ``config.im_size`` says otherwise.
        seed: of label noise and of the validation split.
        workers: decoding threads.

    Raises:
        UserError: unknown data set, missing or unreadable data, a class without a training image, or a size
            or validation ratio that cannot be.
    """
    name = choose("dataset", config.dataset, DATASETS)
    known = DATASETS[name]
    if config.val and not 0 < config.val_ratio < 1:
        raise UserError(f"--val_ratio {config.val_ratio:g} is outside (0, 1): use a part such as 0.2")
    root, background = Path(config.folder).expanduser(), config.background or WHITE
    request = Request(name, root, config.im_size, smallest_image, workers, background)
    source = known.load(request)
    train, test = _at_final_size(source.train, request), _at_final_size(source.test, request)
    wrong = None
    if config.label_noise is not None:
        confusion = confusion_matrix(config.label_noise, len(source.class_names), config.noise_matrix)
        labels = noisy_labels(train.labels, confusion, seed)
        train, wrong = replace(train, labels=labels), labels != train.labels
    spec = _describe(name, known, source, train, request.root)
    if config.val:
        pool, held_out = hold_out(train.labels, config.val_ratio, seed)
    else:
        pool, held_out = torch.arange(len(train)), torch.empty(0, dtype=torch.int64)
    return Data(spec, train, test, pool, held_out, fingerprint(spec, train, test), wrong)


@functools.lru_cache(maxsize=2)
def load_once(config: DataConfig, smallest_image: int, seed: int, workers: int) -> Data:
    """Call :func:`load_data`, or return what it returned to the same call before; rank 0 downloads for all ranks."""
    load = functools.partial(load_data, config, smallest_image, seed=seed, workers=workers)
    return current_world().rank_zero_first(load)


def fingerprint(spec: DataSpec, *halves: Images) -> str:
    """Return the SHA-256 of specification, labels and pixels; of images in files, of their names, sizes and times."""
    digest = hashlib.sha256(repr(spec).encode())
    for half in halves:
        digest.update(half.labels.numpy().tobytes())
        if isinstance(half, MemoryImages):
            for chunk in half.images.split(_CHUNK):
                digest.update(chunk.cpu().numpy())
        else:
            for index, name in enumerate(half.paths):
                status = half.path(index).stat()
                digest.update(os.fsencode(name) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _at_final_size(images: Images, request: Request) -> Images:
    if not isinstance(images, MemoryImages):
        return images
    return images.resized(request.final_size(images.images.shape[2], images.channels))


def _describe(name: str, known: DatasetSpec, source: Source, train: Images, root: Path) -> DataSpec:
    """Return the specification, after checking that the classes are what they should be."""
    class_names = source.class_names
    counts = train.labels.bincount(minlength=len(class_names))
    if known.num_classes is not None and len(class_names) != known.num_classes:
        raise UserError(f"{name} has {known.num_classes} classes, but {root} holds {len(class_names)}")
    empty = [class_names[label] for label in torch.nonzero(counts == 0).flatten().tolist()]
    if empty:
        raise UserError(f"{len(empty)} class{'es' * (len(empty) > 1)} without a training image: {', '.join(empty[:5])}")
    if known.mean is not None and known.std is not None:
        mean, std = known.mean, known.std
    elif source.moments is not None:
        mean, std = source.moments.mean_std()
    else:
        raise TypeError(f"{name} has neither a published nor a measured mean")
    size = train.images.shape[2] if isinstance(train, MemoryImages) else train.crop
    return DataSpec(name, train.channels, size, len(class_names), class_names, mean, std, known.augmentation)
