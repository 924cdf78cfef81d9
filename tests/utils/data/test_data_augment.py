from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as TF

from utils.data.augmentation import crop_flip, draw_crop_flip

ALL = torch.cartesian_prod(torch.arange(9), torch.arange(9), torch.arange(2))  # [162, 3]


def by_torchvision(image: Tensor, top: int, left: int, flip: int) -> Tensor:
    """What RandomCrop(padding=4, padding_mode="reflect") and RandomHorizontalFlip do with these parameters."""
    padded = TF.pad(image, [4, 4, 4, 4], padding_mode="reflect")
    cropped = TF.crop(padded, top, left, *image.shape[1:])
    return TF.hflip(cropped) if flip else cropped


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (2, 5, 9)])
def test_every_outcome_is_torchvisions_on_the_same_parameters(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (len(ALL), *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = [by_torchvision(image, *row.tolist()) for image, row in zip(images, ALL, strict=True)]
    assert torch.equal(crop_flip(images, ALL), torch.stack(expected))


def test_images_are_left_as_they_were() -> None:
    images = torch.arange(3 * 32 * 32).view(1, 3, 32, 32)
    before = images.clone()
    crop_flip(images, torch.tensor([[0, 8, 1]]))
    assert torch.equal(images, before)


def test_outcomes_are_uniform_and_independent() -> None:
    """Chi-square of the 162 joint outcomes; 0.999 of its distribution with 161 degrees of freedom is 223.6."""
    n = 162_000
    top, left, flip = draw_crop_flip(n, torch.Generator().manual_seed(5)).unbind(1)
    counts = (top * 18 + left * 2 + flip).bincount(minlength=162).double()
    expected = n / 162
    assert counts.shape == (162,)
    assert ((counts - expected) ** 2 / expected).sum() < 223.6


def test_parameters_come_from_the_generator_alone() -> None:
    first = draw_crop_flip(50, torch.Generator().manual_seed(1))
    torch.rand(3)
    assert torch.equal(first, draw_crop_flip(50, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, draw_crop_flip(50, torch.Generator().manual_seed(2)))
