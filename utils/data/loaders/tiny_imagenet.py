"""Tiny ImageNet: 200 classes of 500 training images; its labelled validation half is the test set."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import torch
from torchvision.datasets.utils import download_url, extract_archive

from utils.data.base import Request, Source
from utils.data.decode import read_native, read_resized
from utils.data.download import obtain
from utils.data.image_files import read_images
from utils.data.images import MemoryImages
from utils.data.loaders.class_folders import FoundFiles, LabelledFiles, find_classes, find_images
from utils.errors import UserError

_FOLDER = "tiny-imagenet-200"
_URL = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_TRAIN_IMAGES, _TEST_IMAGES = 100_000, 10_000
_SIZE = 64
_LAYOUT = "the folder is incomplete; remove it to have it downloaded"


def find_tiny_imagenet(request: Request) -> FoundFiles:
    """Find, or download and find, all images but the unlabelled test half.

    Raises:
        UserError: missing and not to be downloaded, or incomplete.
    """
    folder = obtain("TinyImageNet", request.root, _FOLDER, lambda download: _open(request.root, download))
    class_names = find_classes(folder / "train", _LAYOUT)
    train = find_images(folder, "train", class_names, _LAYOUT)
    test = _annotated(folder, class_names)
    if (len(train), len(test)) != (_TRAIN_IMAGES, _TEST_IMAGES):
        raise UserError(
            f"{folder} is incomplete: {len(train):,} training and {len(test):,} validation images instead of "
            f"{_TRAIN_IMAGES:,} and {_TEST_IMAGES:,}; remove it to have it downloaded"
        )
    return FoundFiles(class_names, train, test)


def load_tiny_imagenet(request: Request) -> Source:
    """Load all images into memory, at 64x64 or resized while they are decoded; the unlabelled test half is not used.

    Raises:
        UserError: missing and not to be downloaded, incomplete, or unreadable images (all of them named).
    """
    found = find_tiny_imagenet(request)
    train, test = found.train, found.test
    size = request.final_size(_SIZE, channels=3)
    read = read_native if size == _SIZE else partial(read_resized, resize=size, crop=size)
    images = read_images(train.paths + test.paths, read, request.workers, channels=3)
    return Source(
        MemoryImages(images[: len(train)], train.labels),
        MemoryImages(images[len(train) :], test.labels),
        found.class_names,
    )


def _open(root: Path, download: bool) -> Path:
    """Return the data set's folder; a download is extracted elsewhere and renamed, so that it is whole or absent."""
    folder = root / _FOLDER
    if folder.is_dir():
        return folder
    if not download:
        raise FileNotFoundError(folder)
    archive = f"{_FOLDER}.zip"
    download_url(_URL, root, archive, _MD5)
    beside = Path(tempfile.mkdtemp(dir=root, prefix=f".{_FOLDER}."))
    try:
        extract_archive(root / archive, beside)
        (beside / _FOLDER).replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _annotated(folder: Path, class_names: tuple[str, ...]) -> LabelledFiles:
    """Find the validation images, labelled by the lines of val_annotations.txt (file, class, box; by tabs)."""
    annotations = folder / "val" / "val_annotations.txt"
    labels = {name: label for label, name in enumerate(class_names)}
    try:
        rows = [line.split("\t") for line in annotations.read_text().splitlines()]
        names = tuple(f"val/images/{row[0]}" for row in rows)
        return LabelledFiles(folder, names, torch.tensor([labels[row[1]] for row in rows]))
    except OSError as error:
        raise UserError(f"cannot read {annotations}: {error.strerror or error}") from error
    except (LookupError, UnicodeDecodeError) as error:
        raise UserError(f"{annotations} is damaged: {error}") from error
