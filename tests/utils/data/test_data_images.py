from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from utils.data.images import FileImages, MemoryImages, Moments, fits_on_device, moments
from utils.errors import UserError


def made(n: int, channels: int = 3, size: int = 8) -> MemoryImages:
    images = torch.randint(0, 256, (n, channels, size, size), generator=torch.Generator().manual_seed(n))
    return MemoryImages(images.to(torch.uint8), torch.arange(n))


def in_files() -> FileImages:
    return FileImages(Path("nowhere"), ("a.png", "b.png"), torch.tensor([0, 1]), 3, 256, 224)


def test_moments_are_those_of_float64() -> None:
    images = made(2500)  # more than two chunks
    mean, std = moments(images).mean_std()
    values = images.images.double() / 255
    assert mean == pytest.approx(values.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), rel=1e-9)


def test_moments_do_not_depend_on_how_images_arrive() -> None:
    images = made(10).images
    one_by_one = Moments()
    for image in images:
        one_by_one.add(image[None])
    assert one_by_one.mean_std() == moments(made(10)).mean_std()


def test_a_constant_channel_can_be_divided_by() -> None:
    images = MemoryImages(torch.full((4, 1, 8, 8), 51, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert moments(images).mean_std() == ((0.2,), (1.0,))


@pytest.mark.parametrize("size", [4, 11])
def test_resizing_is_pillows_antialiased_bilinear(size: int) -> None:
    images = made(1030, size=16)  # more than one chunk
    resized = images.resized(size)
    assert resized.images.shape == (1030, 3, size, size)
    assert resized.labels is images.labels
    for index in (0, 1029):
        picture = Image.fromarray(images.images[index].permute(1, 2, 0).numpy())
        wanted = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(wanted - resized.images[index].permute(1, 2, 0).numpy()).max() <= 1


def test_images_of_the_right_size_are_not_copied() -> None:
    images = made(3)
    assert images.resized(8) is images


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_images_that_do_not_fit_together_are_refused(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        MemoryImages(images, labels)


def test_bytes_are_those_of_the_pixels() -> None:
    assert made(5).nbytes == 5 * 3 * 64
    assert in_files().nbytes == 2 * 3 * 224**2


def test_files_stay_where_they_are() -> None:
    files = in_files()
    assert files.to("cpu") is files
    assert files.path(1) == Path("nowhere/b.png")


@pytest.mark.parametrize(("mode", "held"), [("auto", True), ("on", True), ("off", False)])
def test_images_in_memory_fit_on_the_cpu(mode: str, held: bool) -> None:
    assert fits_on_device(made(2), "cpu", mode) is held


@pytest.mark.parametrize(("free", "held"), [(2 * 384, True), (2 * 384 - 1, False)])
def test_auto_leaves_half_of_a_gpus_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, held: bool) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    assert fits_on_device(made(2), "cuda", "auto") is held
    assert fits_on_device(made(2), "cuda", "on") is True
    assert fits_on_device(made(2), "cuda", "off") is False


def test_files_are_never_held_and_asking_for_it_is_an_error() -> None:
    assert fits_on_device(in_files(), "cuda", "auto") is False
    assert fits_on_device(in_files(), "cuda", "off") is False
    with pytest.raises(UserError, match="data_on_device"):
        fits_on_device(in_files(), "cuda", "on")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match="choose from auto, on, off"):
        fits_on_device(made(2), "cpu", "sometimes")
