"""What a loader takes, a Request, and what it returns, a Source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils.data.images import WHITE, Images, Moments
from utils.errors import UserError

_USUAL_SIZE = {1: 28, 3: 32}  # what small images are enlarged to, by number of channels


@dataclass(frozen=True)
class Request:
    """Which data set to load, from which folder, at which size, with how many decoding threads.

    Args:
        im_size: height and width asked for, if any.
        smallest_image: height and width that the network needs.
        background: the colour seen through the transparent pixels of image files.

    Raises:
        UserError: the size asked for is below what the network takes.
    """

    dataset: str
    root: Path
    im_size: int | None
    smallest_image: int
    workers: int
    background: str = WHITE

    def __post_init__(self) -> None:
        smallest = max(1, self.smallest_image)
        if self.im_size is not None and self.im_size < smallest:
            raise UserError(f"--im_size {self.im_size} is too small: this network takes {smallest} or more")

    def final_size(self, native: int, channels: int) -> int:
        """Return the size asked for; else the native one, enlarged where the network needs more."""
        if self.im_size is not None:
            return self.im_size
        if native >= self.smallest_image:
            return native
        return max(_USUAL_SIZE[channels], self.smallest_image)


@dataclass(frozen=True, eq=False)
class Source:
    """A loaded data set: its two labelled halves, and the names of its classes in label order."""

    train: Images
    test: Images
    class_names: tuple[str, ...]
    moments: Moments | None = None  # of the training images, where no mean and std are published


Loader = Callable[[Request], Source]
