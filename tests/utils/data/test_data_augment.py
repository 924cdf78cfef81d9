from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as TF

from utils.data.augmentation import crop_flip, draw_crop_flip, draw_resized_crop_flip, resized_crop_flip

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
    top, left, flip = draw_crop_flip(n, 32, torch.Generator().manual_seed(5)).unbind(1)
    counts = (top * 18 + left * 2 + flip).bincount(minlength=162).double()
    expected = n / 162
    assert counts.shape == (162,)
    assert ((counts - expected) ** 2 / expected).sum() < 223.6


def test_parameters_come_from_the_generator_alone() -> None:
    first = draw_crop_flip(50, 32, torch.Generator().manual_seed(1))
    torch.rand(3)
    assert torch.equal(first, draw_crop_flip(50, 32, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, draw_crop_flip(50, 32, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 5), (1, 1)])
def test_a_resized_crop_is_torchvisions_on_the_same_parameters(channels: int, size: int) -> None:
    images = torch.rand(60, channels, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float32) * 255
    before, parameters = images.clone(), draw_resized_crop_flip(60, size, torch.Generator().manual_seed(1))
    wanted = []
    for image, (top, left, height, width, flip) in zip(images, parameters.tolist(), strict=True):
        crop = TF.resized_crop(image, top, left, height, width, [size, size], antialias=True)
        wanted.append(TF.hflip(crop) if flip else crop)
    torch.testing.assert_close(resized_crop_flip(images, parameters), torch.stack(wanted), atol=1e-3, rtol=0)
    assert torch.equal(images, before)


def test_resized_crops_are_drawn_as_torchvision_draws_them() -> None:
    """Chi-square of two samples of the crops of 4x4; 0.999 of its distribution is below 2 · outcomes from 100 on."""
    n, size = 20_000, 4
    ours = draw_resized_crop_flip(n, size, torch.Generator().manual_seed(5))
    image = torch.empty(1, size, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        theirs = torch.tensor([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)])
    keys = [(draws[:, :4] * torch.tensor([125, 25, 5, 1])).sum(dim=1) for draws in (ours, theirs)]
    a, b = (key.bincount(minlength=1000).double() for key in keys)
    outcomes = int((a + b > 0).sum())
    assert outcomes > 20
    assert ((a - b) ** 2 / (a + b).clamp(min=1)).sum() < outcomes + 4 * (2 * outcomes) ** 0.5
    assert ours[:, 4].double().mean() == pytest.approx(0.5, abs=0.02)


def test_the_parameters_of_resized_crops_come_from_the_generator_alone() -> None:
    first = draw_resized_crop_flip(50, 32, torch.Generator().manual_seed(1))
    torch.rand(3)
    assert torch.equal(first, draw_resized_crop_flip(50, 32, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, draw_resized_crop_flip(50, 32, torch.Generator().manual_seed(2)))
