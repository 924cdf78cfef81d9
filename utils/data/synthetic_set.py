"""A synthetic set: learned images with their labels, as a value, a file and training data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from utils.config import SelectionConfig, digest
from utils.data.images import MemoryImages
from utils.data.training_set import TrainingSet
from utils.errors import UserError
from utils.files import read_npz, write_npz

if TYPE_CHECKING:
    from utils.data.load import Data
    from utils.data.registry import DataSpec

_UNKNOWN = SelectionConfig("synthetic")


@dataclass(frozen=True, eq=False)
class SyntheticSet:
    """An immutable synthetic set that validates itself.

    Attributes:
        images: float32 or uint8 [m, C, H, W], pixels in the units of 0 to 255. Learned ones are float32 and may
            leave that range: they are trained on exactly as they were learned.
        labels: int64 [m].
        selection: what made it, as its runs record it; ``method`` is its name in tables.
        train_images: the fingerprint of the training images that it was learned from, where it is known.

    Raises:
        UserError: no images of that form, pixels that are not finite, or labels that do not fit them.
    """

    images: np.ndarray
    labels: np.ndarray
    selection: SelectionConfig = _UNKNOWN
    train_images: str | None = None

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

    @property
    def method(self) -> str:
        """What made it, as tables call it."""
        return self.selection.method

    def at(self, positions: np.ndarray) -> SyntheticSet:
        """Return the images at ``positions`` (int64 [k], places within this set)."""
        return dataclasses.replace(self, images=self.images[positions], labels=self.labels[positions])

    @classmethod
    def concatenated(cls, parts: Sequence[SyntheticSet]) -> SyntheticSet:
        """Return the images of ``parts`` one after another, as made by what made the first of them."""
        images, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels"))
        return cls(images, labels, parts[0].selection, parts[0].train_images)

    def training_set(self, data: Data) -> TrainingSet:
        """Return the synthetic images in place of all training images of ``data``, at the size of those.

        Raises:
            UserError: other channels than the data's, a label that is none of its classes, or other units than
                0 to 255.
        """
        spec, channels = data.spec, self.images.shape[1]
        if channels != spec.channels:
            raise UserError(f"the synthetic images have {channels} channels and those of {spec.name} {spec.channels}")
        if self.labels.max() >= spec.num_classes:
            raise UserError(
                f"the synthetic set has a label {self.labels.max()}, but {spec.name} only {spec.num_classes} classes"
            )
        self._check_units(spec)
        images = MemoryImages(torch.tensor(self.images), torch.tensor(self.labels)).resized(spec.im_size)
        everything = torch.arange(len(images))
        replaced = dataclasses.replace(
            data,
            train=images,
            pool=everything,
            held_out=torch.empty(0, dtype=torch.int64),
            fingerprint=digest([data.fingerprint, self.digest()]),
            wrong=None,
        )
        return TrainingSet(replaced, everything)

    def _check_units(self, spec: DataSpec) -> None:
        """Raise UserError where pixels are so much smaller than the data's that they must be in [0, 1] or normalised.

        A set of the data's class means is nowhere as dark as a tenth; [0, 1] is one of 255, normalised about 2 %.
        """
        squares = [mean**2 + std**2 for mean, std in zip(spec.mean, spec.std, strict=True)]
        usual = 255 * float(np.mean(squares)) ** 0.5
        found = float(np.mean(np.square(self.images, dtype=np.float64))) ** 0.5
        if found < usual / 10:
            low, high = float(self.images.min()), float(self.images.max())
            raise UserError(
                f"synthetic images have pixels in units of 0 to 255, and these lie in {low:.3g} to {high:.3g}: "
                "multiply images in [0, 1] by 255; of normalised ones undo that first (times std, plus mean)"
            )

    def visible(self) -> Tensor:
        """Return the images as uint8 [m, C, H, W], cut off at 0 and 255."""
        return torch.from_numpy(self.images.round().clip(0, 255).astype(np.uint8))

    def digest(self) -> str:
        """Return 16 hex digits that change with any pixel or label."""
        content = hashlib.sha256(str((self.images.dtype, self.images.shape)).encode())
        content.update(self.images.tobytes())
        content.update(self.labels.tobytes())
        return content.hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write an npz of ``images``, ``labels``, ``method``, ``selection`` (JSON) and ``train_images``, no pickles."""
        selection = json.dumps(dataclasses.asdict(self.selection))
        texts = {"method": np.array(self.method), "selection": np.array(selection)}
        if self.train_images is not None:
            texts["train_images"] = np.array(self.train_images)
        write_npz(Path(path), {"images": self.images, "labels": self.labels, **texts})

    @classmethod
    def load(cls, path: str | Path) -> SyntheticSet:
        """Read what ``save`` wrote, or any npz with ``images`` and ``labels``; pickles are refused.

        Raises:
            UserError: missing, damaged, or no synthetic set.
        """
        arrays = read_npz(Path(path))
        if missing := {"images", "labels"} - arrays.keys():
            held = ", ".join(arrays) or "nothing"
            raise UserError(
                f"{path} is no synthetic set: it has no {' and no '.join(sorted(missing))}, and holds {held}"
            )
        try:
            learned_from = str(arrays["train_images"]) if "train_images" in arrays else None
            return cls(arrays["images"], arrays["labels"], _selection(arrays), learned_from)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _selection(arrays: dict[str, np.ndarray]) -> SelectionConfig:
    """Return what the file says of how the set was made: all settings, or, in files from elsewhere, a name at most."""
    if "selection" not in arrays:
        return SelectionConfig(str(arrays.get("method", "synthetic")))
    try:
        return SelectionConfig.from_dict(json.loads(str(arrays["selection"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"its selection is not to be read: {error}") from error
