from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.config import DataConfig
from utils.data.base import Request
from utils.data.batches import Batches
from utils.data.images import MemoryImages
from utils.data.load import fingerprint, load_data
from utils.data.registry import DATASETS
from utils.errors import UserError

#       name: (channels, size, classes, augmentation)
FACTS = {
    "CIFAR10": (3, 32, 10, "crop_flip"),
    "CIFAR100": (3, 32, 100, "crop_flip"),
    "MNIST": (1, 28, 10, "none"),
    "permutedMNIST": (1, 28, 10, "none"),
    "FashionMNIST": (1, 28, 10, "none"),
    "QMNIST": (1, 28, 10, "none"),
    "SVHN": (3, 32, 10, "none"),
    "TinyImageNet": (3, 64, 200, "none"),
    "ImageNet": (3, 224, 1000, "resized_crop_flip"),
    "Digits": (1, 8, 10, "none"),
    "ImageFolder": (None, None, None, "none"),
}


def test_the_table_has_every_data_set() -> None:
    table = {name: (spec.channels, spec.size, spec.num_classes, spec.augmentation) for name, spec in DATASETS.items()}
    assert table == FACTS
    for spec in DATASETS.values():
        assert callable(spec.load)
        assert (spec.mean is None) == (spec.std is None) == (spec.channels is None)
        assert len(spec.mean or ()) == len(spec.std or ()) == (spec.channels or 0)


def test_an_unknown_data_set_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'CIFAR11' .did you mean CIFAR10.*; choose from CIFAR10"):
        load_data(DataConfig("CIFAR11"))


@given(
    native=st.integers(1, 300),
    smallest=st.integers(1, 300),
    channels=st.sampled_from([1, 3]),
)
def test_images_are_enlarged_only_where_the_network_needs_it(native: int, smallest: int, channels: int) -> None:
    size = Request("Digits", Path(), None, smallest, 1).final_size(native, channels)
    usual = 28 if channels == 1 else 32
    assert size >= smallest
    assert size == (native if native >= smallest else max(usual, smallest))
    assert Request("Digits", Path(), smallest + 3, smallest, 1).final_size(native, channels) == smallest + 3


def test_without_val_everything_is_in_the_pool() -> None:
    data = load_data(DataConfig("Digits", val=False, val_ratio=7))
    assert torch.equal(data.pool, torch.arange(1438))
    assert data.held_out.dtype == torch.int64
    assert len(data.held_out) == 0


def test_val_holds_out_a_stratified_seeded_part() -> None:
    config = DataConfig("Digits", val=True, val_ratio=0.25)
    data, again, other = (load_data(config, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(data.held_out, again.held_out)
    assert not torch.equal(data.held_out, other.held_out)
    assert data.fingerprint == other.fingerprint  # the images are the same
    assert sorted(torch.cat([data.pool, data.held_out]).tolist()) == list(range(1438))
    counts, held = data.train.labels.bincount(), data.train.labels[data.held_out].bincount()
    assert ((held - counts / 4).abs() <= 0.5).all()


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.2, float("nan")])
def test_an_impossible_validation_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match=r"--val_ratio .* is outside"):
        load_data(DataConfig("Digits", val=True, val_ratio=ratio))


def test_the_fingerprint_covers_pixels_labels_and_normalisation() -> None:
    data = load_data(DataConfig("Digits"))
    train, test = data.train, data.test
    assert isinstance(train, MemoryImages)
    pixels, labels = train.images.clone(), train.labels.clone()
    pixels[700, 0, 3, 3] ^= 1
    labels[1437] = (labels[1437] + 1) % 10
    found = {
        fingerprint(data.spec, train, test),
        fingerprint(data.spec, MemoryImages(pixels, train.labels), test),
        fingerprint(data.spec, MemoryImages(train.images, labels), test),
        fingerprint(replace(data.spec, mean=(0.5,)), train, test),
        fingerprint(data.spec, test, train),
    }
    assert len(found) == 5
    assert data.fingerprint in found


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"no folder {tmp_path}/images/train"):
        load_data(DataConfig("ImageFolder", "~/images"))


@pytest.mark.skipif("CIFAR10_JPEG" not in os.environ, reason="CIFAR10_JPEG names no folder of real images")
def test_real_photographs() -> None:
    data = load_data(DataConfig("ImageFolder", os.environ["CIFAR10_JPEG"]))
    assert (len(data.train), len(data.test), data.spec.num_classes) == (50_000, 10_000, 10)
    published = DATASETS["CIFAR10"]
    assert data.spec.mean == pytest.approx(published.mean, abs=0.005)
    batch = next(iter(Batches(data.train, data.spec, data.pool, 2000, device="cpu", shuffle_seed=0)))
    assert batch.x.mean().abs() < 0.1
    assert abs(batch.x.std() - 1) < 0.1
