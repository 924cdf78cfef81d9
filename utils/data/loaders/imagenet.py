"""ImageNet: left in its files, decoded batch by batch."""

from __future__ import annotations

from utils.data.base import Request, Source
from utils.data.image_files import check_headers
from utils.data.loaders.class_folders import FoundFiles, find_classes, find_images

_LAYOUT = "ImageNet needs <data_path>/train/<class>/* and <data_path>/val/<class>/*; or try --dataset Digits"
_CROP = 224
_RESIZE = 256  # of the shorter side, for a crop of 224


def find_imagenet(request: Request) -> FoundFiles:
    """Find the training and the validation images, both sorted into class folders. Raises UserError if missing."""
    root = request.root / "imagenet" if (request.root / "imagenet").is_dir() else request.root
    class_names = find_classes(root / "train", _LAYOUT)
    train = find_images(root, "train", class_names, _LAYOUT)
    return FoundFiles(class_names, train, find_images(root, "val", class_names, _LAYOUT))


def load_imagenet(request: Request) -> Source:
    """Load the training images, and the validation images as test set, both sorted into class folders.

    Only the headers are read beforehand; an image that breaks off later stops the run when it is reached.

    Raises:
        UserError: missing folders, or files that are no images (all of them named).
    """
    found = find_imagenet(request)
    train, test = found.train, found.test
    check_headers(train.paths + test.paths, request.workers)
    crop = request.final_size(_CROP, channels=3)
    resize = round(crop * _RESIZE / _CROP)
    train_half, test_half = (half.left_in_files(resize, crop, crop_whole=True) for half in (train, test))
    return Source(train_half, test_half, found.class_names)
