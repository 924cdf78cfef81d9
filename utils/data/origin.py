"""What the indices of a coreset stand for, in words that outlive the order of any loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.errors import UserError

if TYPE_CHECKING:
    from utils.data.fingerprint import Contents


@dataclass(frozen=True, eq=False)
class Origin:
    """The images that a coreset picked.

    Attributes:
        train_images: the fingerprint of the training images that its indices count.
        class_names: in the order of labels.
        labels: int64 [k], the right ones of the picks.
        files: str [k], below the data set's folder; None where images are not single files.
    """

    train_images: str
    class_names: tuple[str, ...]
    labels: np.ndarray
    files: np.ndarray | None = None

    @classmethod
    def of(cls, contents: Contents, indices: np.ndarray) -> Origin:
        """Return what ``indices`` (int64 [k]) stand for."""
        files = None if contents.files is None else np.array([contents.files[i] for i in indices.tolist()], np.str_)
        return cls(contents.fingerprint, contents.class_names, contents.labels[indices], files)

    @property
    def classes(self) -> list[str]:
        """The name of each pick's class."""
        return [self.class_names[label] for label in self.labels.tolist()]

    def at(self, positions: np.ndarray) -> Origin:
        """Return the origin of the picks at ``positions`` (int64 [m])."""
        files = None if self.files is None else self.files[positions]
        return Origin(self.train_images, self.class_names, self.labels[positions], files)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what goes into the coreset's file."""
        files = {} if self.files is None else {"files": self.files}
        names, train_images = np.array(self.class_names), np.array(self.train_images)
        return {"train_images": train_images, "class_names": names, "labels": self.labels, **files}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], size: int) -> Origin | None:
        """Return the origin that a file of ``size`` picks names; None where it names a fingerprint at most.

        Raises:
            UserError: it is not of these picks.
        """
        if "train_images" not in arrays or not arrays.keys() & {"class_names", "labels", "files"}:
            return None
        try:
            names, labels, files = arrays["class_names"], arrays["labels"], arrays.get("files")
        except KeyError as error:
            raise UserError(f"it names its training images, but has no array {error}") from error
        sound = labels.shape == (size,) and labels.dtype.kind in "iu" and (files is None or files.shape == (size,))
        if not sound or (size and not 0 <= labels.min() <= labels.max() < len(names)):
            raise UserError(f"its labels, class names and files are not those of {size} picks")
        return cls(str(arrays["train_images"]), tuple(map(str, names)), labels.astype(np.int64), files)
