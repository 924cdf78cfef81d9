"""Random crop and flip of a whole batch, every sample by its own parameters.

The same distribution and the same pixels as torchvision's ``RandomCrop(size, padding=4,
padding_mode="reflect")`` and ``RandomHorizontalFlip()`` on single images.
"""

from __future__ import annotations

import torch
from torch import Tensor

PADDING = 4


def draw_crop_flip(n: int, generator: torch.Generator) -> Tensor:
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
