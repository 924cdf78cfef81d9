"""Decoding one image file to a uint8 tensor, or to the reason why that cannot be."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as TF

from utils.data.images import WHITE

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)  # what Pillow's decoders raise on damaged files
_OF_THE_MACHINE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
_GREY_MODES = frozenset(("1", "L", "LA"))
_TRANSPARENT_MODES = frozenset(("RGBA", "LA", "PA"))
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {  # by its value: what turns the image as the camera was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Unreadable:
    """A file that is no readable image, and the reason, in one line."""

    path: Path
    reason: str

    @classmethod
    def because(cls, path: Path, error: Exception) -> Unreadable:
        """Build one from the error that reading it raised; raise one that is no fault of the file."""
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise error
        return cls(path, " ".join(str(error).split()) or type(error).__name__)

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def read_native(path: Path, background: str = WHITE) -> Tensor | Unreadable:
    """Read the image at its own size: uint8 [1, H, W] where it is grey, else [3, H, W]."""
    return _read(path, lambda image: as_seen(image, background))


def read_resized(path: Path, resize: int, crop: int, background: str = WHITE) -> Tensor | Unreadable:
    """Read the image with its shorter side resized to ``resize``, then its centre: uint8 [1 or 3, crop, crop]."""

    def view(image: Image.Image) -> Image.Image:
        image.draft(None, (2 * resize, 2 * resize))  # JPEG: decode no more pixels than it takes
        return TF.center_crop(TF.resize(as_seen(image, background), resize), crop)

    return _read(path, view)


def read_random_crop(path: Path, crop: int, seed: int, background: str = WHITE) -> Tensor | Unreadable:
    """Read the image through torchvision's RandomResizedCrop and RandomHorizontalFlip: uint8 [1 or 3, crop, crop]."""
    return _read(path, lambda image: _random_crop(as_seen(image, background), crop, seed))


def read_header(path: Path) -> tuple[int, int] | Unreadable:
    """Read width and height, without decoding any pixel."""
    try:
        with Image.open(path) as image:
            return image.size
    except _BROKEN as error:
        return Unreadable.because(path, error)


def _read(path: Path, view: Callable[[Image.Image], Image.Image]) -> Tensor | Unreadable:
    try:
        with Image.open(path) as image:
            return _to_tensor(view(image))
    except _BROKEN as error:
        return Unreadable.because(path, error)


def as_seen(image: Image.Image, background: str = WHITE) -> Image.Image:
    """Return the image as viewers show it: upright, opaque, in 8 bits a channel, grey or RGB.

    Args:
        image: just opened.
        background: the colour seen through transparent pixels, as PIL.ImageColor names it.
    """
    image.load()
    if image.mode.startswith(("I", "F")):
        raise ValueError("more than 8 bits a channel: convert it to 8 bits")
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    turned = _UPRIGHT.get(_orientation(image))
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        behind = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(behind, image.convert("RGBA"))
        mode = "L" if mode == "L" and _is_grey(background) else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    return image if turned is None else image.transpose(turned)


def _orientation(image: Image.Image) -> int:
    """Return the value of the EXIF tag; 1, upright, where there is none or the tags are damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1


def _is_grey(colour: str) -> bool:
    return len(set(ImageColor.getrgb(colour)[:3])) == 1


def _random_crop(image: Image.Image, crop: int, seed: int) -> Image.Image:
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the CPU's global generator
        torch.default_generator.manual_seed(seed)
        top, left, height, width = RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3))
        flip = torch.rand(()) < 0.5
    image = TF.resized_crop(image, top, left, height, width, [crop, crop])
    return TF.hflip(image) if flip else image


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = np.asarray(image)  # [H, W] or [H, W, C]
    pixels = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)  # [C, H, W]
    return torch.from_numpy(pixels.copy())
