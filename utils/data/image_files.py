"""Reading many image files at once, with every unreadable one of them named."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from utils.data.decode import Unreadable, read_header
from utils.data.images import Moments
from utils.errors import UserError
from utils.files import write_atomic

Reader = Callable[[Path], "Tensor | Unreadable"]
_NAMED = 10  # unreadable files named on the line itself
_CHUNK = 1024  # files handed to the threads at a time, which bounds what waits in memory
_GROUP = 32  # files a thread works on at a time, which spares the cost of a task for each
T = TypeVar("T")


def read_images(
    paths: Sequence[Path], read: Reader, workers: int, channels: int = 1, limit: int | None = None
) -> Tensor:
    """Read all images into memory: uint8 [n, C, H, W], where C is ``channels``, or 3 as soon as one image is RGB.

    Args:
        limit: bytes that the images may take.

    Raises:
        UserError: unreadable images (all of them named), images of several sizes, or too many bytes.
    """
    images: Tensor | None = None
    first = 0
    for row, image in _readable(paths, read, workers):
        if images is None:
            _, height, width = image.shape
            if limit is not None and len(paths) * image.numel() > limit:
                raise UserError(
                    f"{len(paths):,} images of {width}x{height} do not fit in memory: "
                    f"pass --im_size N to make every one NxN"
                )
            images = torch.empty(len(paths), channels, height, width, dtype=torch.uint8)
            first = row
        if image.shape[1:] != images.shape[2:]:
            raise UserError(
                f"images differ in size ({paths[first]} is {_size(images[0])}, {paths[row]} {_size(image)}): "
                f"pass --im_size N to make every one NxN"
            )
        if len(image) > images.shape[1]:
            images = images.repeat(1, len(image), 1, 1)  # [n, 1, H, W] to [n, 3, H, W]: one is RGB, all are
        images[row] = image
    if images is None:
        raise ValueError("no paths")
    return images


def survey(paths: Sequence[Path], read: Reader, workers: int, measured: int) -> Moments:
    """Read every image once, as RGB, without keeping it; return the moments of the first ``measured``.

    Raises:
        UserError: unreadable images (all of them named).
    """
    moments = Moments()
    for row, image in _readable(paths, read, workers):
        if row < measured:
            moments.add(image.expand(3, -1, -1).unsqueeze(0))  # [1, 3, H, W]
    return moments


def check_headers(paths: Sequence[Path], workers: int) -> None:
    """Check every file by its header, without decoding its pixels.

    Raises:
        UserError: files that are no images (all of them named).
    """
    headers = _each(read_header, paths, workers, "reading headers")
    _refuse([header for header in headers if isinstance(header, Unreadable)])


def hash_files(paths: Sequence[Path], workers: int, ends: int | None = None) -> Iterator[bytes]:
    """Yield the SHA-256 of each file: of all of it, or of its size and its first and last ``ends`` bytes.

    Raises:
        OSError: a file cannot be read.
    """

    def hashed(path: Path) -> bytes:
        with path.open("rb", buffering=0) as file:
            if ends is None:
                return hashlib.sha256(file.readall()).digest()
            size = os.fstat(file.fileno()).st_size
            first = file.read(ends)
            file.seek(max(0, size - ends))
            return hashlib.sha256(b"%d\0" % size + first + file.read(ends)).digest()

    return _each(hashed, paths, workers, "reading files")


def _readable(paths: Sequence[Path], read: Reader, workers: int) -> Iterator[tuple[int, Tensor]]:
    """Yield (row, image) of every readable file; at the end, raise an error if there were others."""
    unreadable = []
    for row, image in enumerate(_each(read, paths, workers, "reading images")):
        if isinstance(image, Unreadable):
            unreadable.append(image)
        else:
            yield row, image
    _refuse(unreadable)


def _each(function: Callable[[Path], T], paths: Sequence[Path], workers: int, title: str) -> Iterator[T]:
    """Yield function(path) of each path in order, by threads, with a progress bar on a terminal."""
    with (
        tqdm(total=len(paths), desc=title, unit="file", leave=False, disable=None) as bar,
        ThreadPoolExecutor(max(1, workers)) as threads,
    ):
        for chunk in _split(paths, _CHUNK):
            for results in threads.map(lambda group: [function(path) for path in group], _split(chunk, _GROUP)):
                bar.update(len(results))
                yield from results


def _split(paths: Sequence[Path], size: int) -> list[Sequence[Path]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def _refuse(unreadable: Sequence[Unreadable]) -> None:
    if not unreadable:
        return
    count = f"{len(unreadable):,} unreadable image{'s' * (len(unreadable) > 1)}"
    named = ", ".join(map(str, unreadable[:_NAMED]))
    more = f", … (all in {_write_list(unreadable)})" if len(unreadable) > _NAMED else ""
    raise UserError(f"{count}: {named}{more}; replace or remove them")


def _write_list(unreadable: Sequence[Unreadable]) -> Path:
    """Write one unreadable image a line to a file in the temporary folder; return its path."""
    path = Path(tempfile.mkdtemp(prefix="unreadable-")) / "images.txt"
    write_atomic(path, os.fsencode("".join(f"{item}\n" for item in unreadable)))
    return path


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
