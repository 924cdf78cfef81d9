"""Random crop and flip of a whole batch, every sample by its own parameters.

The same distributions and the same pixels as torchvision's ``RandomCrop(size, padding=4, padding_mode="reflect")`` or
``RandomResizedCrop(size)``, each with ``RandomHorizontalFlip()``, on single images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError

PADDING = 4

_AREA, _ASPECT, _TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # of torchvision's RandomResizedCrop


@dataclass(frozen=True)
class Augmentation:
    """A way to change images at random.

    Attributes:
        draw: from (n, size, generator) the parameters of n images of [size, size], int64 [n, k].
        apply: changes images [n, C, size, size] by their parameters, on the same device.
        smallest_image: the smallest height and width that it takes.
    """

    draw: Callable[[int, int, torch.Generator], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]
    smallest_image: int = 1


def draw_crop_flip(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw parameters of n samples: int64 [n, 3] of top and left in 0 … 2·PADDING and flip in {0, 1}."""
    offsets = torch.randint(2 * PADDING + 1, (n, 2), generator=generator)
    flips = torch.randint(2, (n, 1), generator=generator)
    return torch.cat((offsets, flips), dim=1)


def crop_flip(images: Tensor, parameters: Tensor) -> Tensor:
    """Crop each image from its reflect-padded self, then flip it where asked.

    The padded image is never made: every output pixel is looked up where reflection puts it.

    Args:
        images: any dtype [n, C, H, W], H and W above PADDING.
        parameters: int64 [n, 3] on the same device, from :func:`draw_crop_flip`.
    """
    n, channels, height, width = images.shape
    top, left, flip = parameters.unsqueeze(2).unbind(1)  # [n, 1] each
    columns = torch.arange(width, device=images.device)
    rows = _reflect(torch.arange(height, device=images.device) + top - PADDING, height)  # [n, H]
    columns = torch.where(flip == 1, width - 1 - columns, columns)  # [n, W]
    columns = _reflect(columns + left - PADDING, width)
    pixels = rows.unsqueeze(2) * width + columns.unsqueeze(1)  # [n, H, W]
    pixels = pixels.flatten(1).unsqueeze(1).expand(-1, channels, -1)  # [n, C, H·W]
    return images.flatten(2).gather(2, pixels).view(n, channels, height, width)


def _reflect(position: Tensor, size: int) -> Tensor:
    """Mirror positions outside 0 … size − 1 at the first and last one."""
    last = size - 1
    return last - (last - position.abs()).abs()


def draw_resized_crop_flip(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw parameters of n samples of [size, size]: int64 [n, 5] of top, left, height, width and flip in {0, 1}.

    The crop's area is uniform and its aspect log-uniform; of ten tries the first that fits counts, else the whole
    image.
    """
    area, aspect = torch.rand(2, n, _TRIES, generator=generator, dtype=torch.float64)
    area = size**2 * (_AREA[0] + (_AREA[1] - _AREA[0]) * area)
    low, high = (math.log(bound) for bound in _ASPECT)
    aspect = torch.exp(low + (high - low) * aspect)
    sides = torch.stack(((area / aspect).sqrt(), (area * aspect).sqrt()), dim=2).round().long()  # [n, tries, 2]
    sides = torch.cat((sides, torch.full((n, 1, 2), size)), dim=1)
    fits = ((sides > 0) & (sides <= size)).all(dim=2)  # [n, tries + 1]
    first = torch.where(fits, torch.arange(_TRIES + 1), _TRIES).amin(dim=1)  # [n]
    sides = sides[torch.arange(n), first]  # [n, 2]
    places = (torch.rand(n, 2, generator=generator, dtype=torch.float64) * (size - sides + 1)).long()
    flips = torch.randint(2, (n, 1), generator=generator)
    return torch.cat((places, sides, flips), dim=1)


def resized_crop_flip(images: Tensor, parameters: Tensor) -> Tensor:
    """Enlarge a part of each image to the whole, bilinear, then flip it where asked.

    Args:
        images: any dtype [n, C, H, W].
        parameters: int64 [n, 5] on the same device, from :func:`draw_resized_crop_flip`.

    Returns:
        float32 [n, C, H, W] in the same units, not rounded.
    """
    top, left, height, width, flip = parameters.unsqueeze(2).unbind(1)  # [n, 1] each
    x = _stretched(images.float(), top, height)
    x = _stretched(x.mT, left, width).mT
    return torch.where(flip[:, :, None, None] == 1, x.flip(3), x)


def _stretched(x: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Return ``length`` [n, 1] rows of each image of x [n, C, H, W] from ``start`` on, stretched to all of H."""
    n, channels, size, width = x.shape
    position = (torch.arange(size, device=x.device) + 0.5) * length / size - 0.5  # [n, H], within the part
    position = torch.minimum(position.clamp(min=0), length - 1)
    lower = position.long()
    upper = torch.minimum(lower + 1, length - 1)
    share = (position - lower)[:, None, :, None]  # [n, 1, H, 1]
    below, above = (
        x.gather(2, (start + rows)[:, None, :, None].expand(n, channels, size, width)) for rows in (lower, upper)
    )
    return torch.lerp(below, above, share)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "crop_flip": Augmentation(draw_crop_flip, crop_flip, PADDING + 1),
    "resized_crop_flip": Augmentation(draw_resized_crop_flip, resized_crop_flip),
}


def too_small(augmentation: str, size: int) -> UserError:
    """Return the error of images of [size, size] that an augmentation does not take."""
    least = AUGMENTATIONS[augmentation].smallest_image
    return UserError(
        f"--augmentation {augmentation} takes images of {least}x{least} or more, and these are {size}x{size}; "
        "use a larger --im_size, or --augmentation none"
    )


# As settings record them: there the bare names are families of siamese augmentation, as in earlier runs.
RECORDED = {f"random_{name}": name for name in AUGMENTATIONS}
