"""Differentiable siamese augmentation (Zhao and Bilen, 2021): the same random change for two sets of images.

A call changes a whole batch by one family, drawn uniformly from a strategy such as ``color_crop_cutout``. Every
image has its own parameters, or all share one set; gradients reach the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.device import moved
from utils.errors import UserError, choose

NUMBERS = 3  # that a family needs of each image


@dataclass(frozen=True, eq=False)
class Draw:
    """The random family and parameters of one batch.

    Attributes:
        family: the name of a family, or None where there is none to draw from.
        numbers: float64 [n, NUMBERS] uniform in [0, 1), one row an image, or [1, NUMBERS] for all of them.
    """

    family: str | None
    numbers: Tensor


@dataclass(frozen=True)
class Siamese:
    """An augmentation strategy: the families to draw from (none: images stay as they are), and their strength.

    At strength 1 the changes are those of the paper's code; at 0 nothing changes.
    """

    families: tuple[str, ...]
    strength: float = 1.0

    @classmethod
    def of(cls, strategy: str) -> Siamese:
        """Build a strategy from names of families joined by ``_``; empty for no augmentation.

        Raises:
            UserError: an unknown family, or one named twice.
        """
        names = tuple(choose("augmentation", name, FAMILIES) for name in strategy.split("_")) if strategy else ()
        if len(set(names)) != len(names):
            raise UserError(f"{strategy!r} names an augmentation twice; name each once, as in color_crop")
        return cls(names)

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw a family, and parameters for ``count`` images; 1 for a batch that shares them."""
        numbers = torch.rand(count, NUMBERS, generator=generator, dtype=torch.float64)
        if not self.families:
            return Draw(None, numbers)
        return Draw(self.families[int(torch.randint(len(self.families), (), generator=generator))], numbers)

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Change images, floating [n, C, H, W] of mean 0, as ``draw`` says: one row an image, or one for all."""
        if draw.family is None:
            return images
        return FAMILIES[draw.family](images, draw.numbers.to(images.dtype), self.strength)

    def apply_each(self, batches: Sequence[Tensor], draws: Sequence[Draw]) -> list[Tensor]:
        """Change each batch, [n, C, H, W], by its own draw for all of its images; those of a family together."""
        changed = list(batches)
        for family in dict.fromkeys(draw.family for draw in draws):
            places = [place for place, draw in enumerate(draws) if draw.family == family]
            sizes = [len(batches[place]) for place in places]
            rows = [draws[place].numbers.expand(size, -1) for place, size in zip(places, sizes, strict=True)]
            together = self.apply(torch.cat([batches[place] for place in places]), Draw(family, torch.cat(rows)))
            for place, part in zip(places, together.split(sizes), strict=True):
                changed[place] = part
        return changed


def _color(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Change brightness by U(−.5, .5), saturation × U(0, 2) about the channels' mean, contrast × U(.5, 1.5)."""
    factors = moved((2 * numbers - 1) * strength, x.device)  # [k, 3]
    brightness, saturation, contrast = factors[:, :, None, None, None].unbind(1)  # [k, 1, 1, 1]
    x = x + brightness / 2
    x = x + saturation * (x - x.mean(dim=1, keepdim=True))
    return x + contrast / 2 * (x - x.mean(dim=(1, 2, 3), keepdim=True))


def _crop(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Shift by up to an eighth of each side; zeros come in."""
    n, channels, height, width = x.shape
    down, right = (_rounded(side * strength / 8) for side in (height, width))
    padded = F.pad(x, (right, right, down, down))
    rows = moved(torch.arange(height) + _integer(numbers[:, :1], 2 * down + 1), x.device)  # [k, H]
    columns = moved(torch.arange(width) + _integer(numbers[:, 1:2], 2 * right + 1), x.device)  # [k, W]
    pixels = rows[:, :, None] * (width + 2 * right) + columns[:, None, :]  # [k, H, W]
    pixels = pixels.flatten(1)[:, None].expand(n, channels, -1)  # [n, C, H·W]
    return padded.flatten(2).gather(2, pixels).view(n, channels, height, width)


def _cutout(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Zero a rectangle of half of each side, its centre anywhere, cut off where it leaves the image."""
    rows, columns = (
        moved(_within(side, _rounded(side * strength / 2), numbers[:, place]), x.device)
        for place, side in enumerate(x.shape[2:])
    )
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)  # mask [k, 1, H, W]


def _within(side: int, length: int, numbers: Tensor) -> Tensor:
    """Return which of ``side`` positions lie within ``length`` about a random centre; bool [k, side]."""
    start = _integer(numbers[:, None], side + 1 - length % 2) - length // 2  # [k, 1]
    positions = torch.arange(side)
    return (positions >= start) & (positions < start + length)


def _flip(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Flip left to right, every second time."""
    flipped = moved(numbers[:, :1, None, None] < strength / 2, x.device)
    return torch.where(flipped, x.flip(3), x)


def _scale(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Scale each axis by a factor of its own in U(1/1.2, 1.2)."""
    high = 1 + 0.2 * strength
    factors = 1 / high + numbers[:, :2] * (high - 1 / high)  # [k, 2]
    return _affine(x, torch.diag_embed(factors))


def _rotate(x: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Rotate about the centre, by up to 15 degrees either way."""
    angle = (2 * numbers[:, 0] - 1) * strength * math.radians(15)  # [k]
    turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), dim=1)
    return _affine(x, turn.view(-1, 2, 2))


def _affine(x: Tensor, matrices: Tensor) -> Tensor:
    """Sample each output pixel where its matrix [k, 2, 2] maps it to, bilinear, zero outside.

    Coordinates run from −1 to 1 over the whole image, from edge to edge and not from the centre of the first
    pixel to that of the last: ``align_corners=False``.
    """
    theta = moved(F.pad(matrices, (0, 1)), x.device)  # [k, 2, 3], no translation
    grid = F.affine_grid(theta, [len(theta), *x.shape[1:]], align_corners=False)  # [k, H, W, 2]
    return F.grid_sample(x, grid.expand(len(x), -1, -1, -1), align_corners=False)


def _integer(numbers: Tensor, count: int) -> Tensor:
    """Turn uniform numbers in [0, 1) into integers in 0 … count − 1, int64."""
    return (numbers * count).long().clamp(max=count - 1)  # float32 may have rounded a number up to 1


def _rounded(value: float) -> int:
    """Round to the nearest integer, halves up."""
    return math.floor(value + 0.5)


# images [n, C, H, W], numbers [n or 1, NUMBERS], strength; what is worked out of numbers alone is so on the CPU
Family = Callable[[Tensor, Tensor, float], Tensor]

FAMILIES: dict[str, Family] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
