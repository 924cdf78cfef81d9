"""A synthetic set: learned images with their labels, as a value, a file, training data and a picture."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.config import digest
from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.errors import UserError
from utils.files import read_npz, write_npz
from utils.records.contact_sheet import Pictures, contact_sheet


@dataclass(frozen=True, eq=False)
class Synthetic:
    """An immutable synthetic set that validates itself.

    Attributes:
        images: float32 or uint8 [m, C, H, W], pixels in the units of 0 to 255. Learned ones are float32 and may
            leave that range: they are trained on exactly as they were learned.
        labels: int64 [m].
        method: what made it, as tables call it.

    Raises:
        UserError: no images of that form, pixels that are not finite, or labels that do not fit them.
    """

    images: np.ndarray
    labels: np.ndarray
    method: str = "synthetic"

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype not in (np.float32, np.uint8) or not len(images):
            raise UserError(f"synthetic images are float32 or uint8 [m, C, H, W], not {images.dtype} {images.shape}")
        if not np.isfinite(images).all():
            raise UserError("synthetic images hold NaN or infinite pixels")
        if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise UserError(f"synthetic labels are {len(images)} integers from 0 up, not {labels.dtype} {labels.shape}")
        if not re.fullmatch(r"\w[\w.+-]{0,63}", self.method):
            raise UserError(f"a synthetic set's method is a short name, not {self.method[:80]!r}")
        for name, array in (("images", np.array(images)), ("labels", labels.astype(np.int64))):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, path: str | Path) -> None:
        """Write an npz of ``images``, ``labels`` and ``method``, without pickles."""
        arrays = {"images": self.images, "labels": self.labels, "method": np.array(self.method)}
        write_npz(Path(path), arrays)

    def digest(self) -> str:
        """16 hex digits that change with any pixel or label."""
        content = hashlib.sha256(str((self.images.dtype, self.images.shape)).encode())
        content.update(self.images.tobytes())
        content.update(self.labels.tobytes())
        return content.hexdigest()[:16]


def is_synthetic(path: str | Path) -> bool:
    """Whether the npz file holds images, and no coreset's indices.

    Raises:
        UserError: missing or damaged.
    """
    names = read_npz(Path(path)).keys()
    return "images" in names and "indices" not in names


def load_synthetic(path: str | Path) -> Synthetic:
    """What :meth:`Synthetic.save` wrote, or any npz with ``images`` and ``labels``; pickles are refused.

    Raises:
        UserError: missing, damaged, or no synthetic set.
    """
    arrays = read_npz(Path(path))
    if missing := {"images", "labels"} - arrays.keys():
        held = ", ".join(arrays) or "nothing"
        raise UserError(f"{path} is no synthetic set: it has no {' and no '.join(sorted(missing))}, and holds {held}")
    try:
        return Synthetic(arrays["images"], arrays["labels"], str(arrays.get("method", "synthetic")))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def as_data(synthetic: Synthetic, data: Data) -> Data:
    """``data`` with the synthetic images as all its training images, at the size of its own.

    Raises:
        UserError: other channels than the data's, or a label that is none of its classes.
    """
    spec, channels = data.spec, synthetic.images.shape[1]
    if channels != spec.channels:
        raise UserError(f"the synthetic images have {channels} channels and those of {spec.name} {spec.channels}")
    if synthetic.labels.max() >= spec.num_classes:
        raise UserError(
            f"the synthetic set has a label {synthetic.labels.max()}, but {spec.name} only {spec.num_classes} classes"
        )
    labels = torch.tensor(synthetic.labels)
    images = MemoryImages(torch.tensor(synthetic.images), labels).resized(spec.im_size)
    return dataclasses.replace(
        data,
        train=images,
        pool=torch.arange(len(images)),
        held_out=torch.empty(0, dtype=torch.int64),
        fingerprint=digest([data.fingerprint, synthetic.digest()]),
    )


def visible(synthetic: Synthetic) -> Tensor:
    """The images as uint8 [m, C, H, W], cut off at 0 and 255."""
    return torch.from_numpy(synthetic.images.round().clip(0, 255).astype(np.uint8))


def picture(synthetic: Synthetic, class_names: tuple[str, ...], title: str) -> bytes:
    """A PNG with a row for each class; pixels are cut off at 0 and 255."""
    pictures = Pictures(class_names, synthetic.labels, visible(synthetic))
    return contact_sheet(pictures, np.arange(len(synthetic)), title=title, picks=10, classes=100)
