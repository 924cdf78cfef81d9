"""The user's own images: one subfolder a class, under train/ and test/ (or val/)."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from utils.data.base import Request, Source
from utils.data.decode import read_native, read_resized
from utils.data.image_files import read_images, survey
from utils.data.images import MemoryImages, moments
from utils.data.loaders.class_folders import FoundFiles, LabelledFiles, find_classes, find_images
from utils.errors import UserError
from utils.memory import whole_memory

_LAYOUT = "ImageFolder needs <data_path>/train/<class>/* and <data_path>/test/<class>/* (or val/)"


def find_image_folder(request: Request) -> FoundFiles:
    """Find every image under <root>/train and <root>/test (or val).

    Raises:
        UserError: missing or unreadable folders, fewer than two classes, a test class that is not a training class.
    """
    root = request.root
    class_names = find_classes(root / "train", _LAYOUT)
    if len(class_names) < 2:
        raise UserError(f"{root / 'train'} has one class, {class_names[0]!r}: at least two are needed")
    train = find_images(root, "train", class_names, _LAYOUT)
    test = find_images(root, "test" if (root / "test").is_dir() else "val", class_names, _LAYOUT)
    return FoundFiles(class_names, train, test)


def load_image_folder(request: Request) -> Source:
    """Load every image under <root>/train and <root>/test (or val), grey only where all of them are.

    With ``im_size`` the shorter side is resized to it and the centre kept; without, all images must be square
    and of one size. They are held in memory; what would take more than half of the machine's is left in its
    files, as RGB, and needs an ``im_size``.

    Raises:
        UserError: as :func:`find_image_folder`; unreadable images (all of them named), images of several sizes
            and no ``im_size``.
    """
    found = find_image_folder(request)
    class_names, train, test = found.class_names, found.train, found.test
    paths = train.paths + test.paths
    limit = whole_memory() // 2
    if request.im_size is None:
        read_as_is = partial(read_native, background=request.background)
        images = read_images(paths, read_as_is, request.workers, limit=limit)
        return _in_memory(train, test, images, class_names)
    size = request.im_size
    read = partial(read_resized, resize=size, crop=size, background=request.background)
    if len(paths) * 3 * size**2 <= limit:
        return _in_memory(train, test, read_images(paths, read, request.workers), class_names)
    measured = survey(paths, read, request.workers, measured=len(train))
    train_half, test_half = (half.left_in_files(size, size, request.background) for half in (train, test))
    return Source(train_half, test_half, class_names, measured)


def _in_memory(train: LabelledFiles, test: LabelledFiles, images: Tensor, class_names: tuple[str, ...]) -> Source:
    """Split ``images``, uint8 [n_train + n_test, C, H, W], into the halves of a data set."""
    height, width = images.shape[2:]
    if height != width:
        raise UserError(f"images are {width}x{height}, not square: pass --im_size N to make every one NxN")
    train_half = MemoryImages(images[: len(train)], train.labels)
    return Source(train_half, MemoryImages(images[len(train) :], test.labels), class_names, moments(train_half))
