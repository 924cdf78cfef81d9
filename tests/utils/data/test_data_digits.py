from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from utils.config import DataConfig
from utils.data import loaders
from utils.data.images import MemoryImages, moments
from utils.data.load import load_data


def half(images: object) -> MemoryImages:
    assert isinstance(images, MemoryImages)
    return images


def test_the_digits_come_with_the_repository() -> None:
    data = load_data(DataConfig("Digits", "no/such/folder"))
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert half(data.train).images.shape == (1438, 1, 8, 8)
    assert data.spec.class_names == tuple("0123456789")
    assert (data.spec.channels, data.spec.im_size, data.spec.num_classes) == (1, 8, 10)
    assert not Path("no/such/folder").exists()


def test_they_are_scikit_learns() -> None:
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    source = sklearn_datasets.load_digits()
    wanted = {
        (round_image.tobytes(), label)
        for round_image, label in zip(np.round(source.images * 255 / 16).astype(np.uint8), source.target, strict=True)
    }
    data = load_data(DataConfig("Digits"))
    images = torch.cat([half(data.train).images, half(data.test).images])
    labels = torch.cat([data.train.labels, data.test.labels])
    found = {(image.numpy().tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert found == wanted
    assert len(images) == len(source.images)


def test_the_split_is_stratified() -> None:
    data = load_data(DataConfig("Digits"))
    train, test = data.train.labels.bincount(), data.test.labels.bincount()
    assert ((test / (train + test) - 0.2).abs() < 0.003).all()


def test_mean_and_std_are_as_measured() -> None:
    data = load_data(DataConfig("Digits"))
    mean, std = moments(half(data.train)).mean_std()
    assert data.spec.mean == pytest.approx(mean, abs=5e-5)
    assert data.spec.std == pytest.approx(std, abs=5e-5)


@pytest.mark.parametrize(("smallest", "size"), [(1, 8), (8, 8), (9, 28), (28, 28), (32, 32)])
def test_they_are_enlarged_where_the_network_needs_it(smallest: int, size: int) -> None:
    data = load_data(DataConfig("digits"), smallest)
    assert data.spec.im_size == size
    assert half(data.test).images.shape[2:] == (size, size)


def test_source_and_licence_are_named() -> None:
    text = Path(loaders.__file__).with_name("DIGITS.md").read_text()
    assert "Optical Recognition of Handwritten Digits" in text
    assert "CC BY 4.0" in text
