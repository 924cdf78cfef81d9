from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import idx, save_cifar, save_mnist, save_qmnist, save_svhn
from torchvision import datasets

from utils.config import DataConfig
from utils.data.images import MemoryImages
from utils.data.load import Data, load_data
from utils.data.loaders.torchvision_sets import pixel_permutation
from utils.errors import UserError


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def load(name: str, root: Path, smallest_image: int = 1) -> Data:
    return load_data(DataConfig(name, str(root)), smallest_image)


def train_images(data: Data) -> torch.Tensor:
    assert isinstance(data.train, MemoryImages)
    return data.train.images


def trust_cifar(monkeypatch: pytest.MonkeyPatch, kind: type[datasets.CIFAR10], folder: Path) -> None:
    """Make the checksums of the files in ``folder`` the expected ones."""
    for attribute in ("train_list", "test_list"):
        names = [name for name, _ in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, [[name, md5(folder / name)] for name in names])
    meta = dict(kind.meta)
    monkeypatch.setattr(kind, "meta", meta | {"md5": md5(folder / meta["filename"])})


@pytest.mark.parametrize(("kind", "classes"), [(datasets.CIFAR10, 10), (datasets.CIFAR100, 100)])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[datasets.CIFAR10], classes: int) -> None:
    rows, labels = save_cifar(tmp_path, classes)
    trust_cifar(monkeypatch, kind, tmp_path / kind.base_folder)
    data = load(kind.__name__, tmp_path)
    assert torch.equal(train_images(data), torch.from_numpy(rows).view(-1, 3, 32, 32))
    assert data.train.labels.tolist() == labels
    assert len(data.test) == 4
    assert data.spec.class_names == tuple(f"class {label}" for label in range(classes))
    assert (data.spec.channels, data.spec.im_size, data.spec.augmentation) == (3, 32, "crop_flip")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_mnist(tmp_path: Path, name: str) -> None:
    halves = save_mnist(tmp_path, name)
    data = load(name, tmp_path)
    for half, images in (("train", data.train), ("t10k", data.test)):
        assert isinstance(images, MemoryImages)
        assert torch.equal(images.images[:, 0], torch.from_numpy(halves[half][0]))
        assert images.labels.tolist() == halves[half][1].tolist()
    assert data.spec.class_names[1] == ("Trouser" if name == "FashionMNIST" else "1")


def test_permuted_mnist_has_the_pixels_of_mnist_in_one_fixed_order(tmp_path: Path) -> None:
    save_mnist(tmp_path)
    plain, permuted = load("MNIST", tmp_path), load("permutedMNIST", tmp_path)
    order = pixel_permutation(784)
    assert sorted(order.tolist()) == list(range(784))
    assert order[:5].tolist() == [80, 401, 647, 447, 345]  # the same for ever
    assert torch.equal(train_images(permuted).flatten(1), train_images(plain).flatten(1)[:, order])
    assert permuted.spec.mean == plain.spec.mean
    assert permuted.fingerprint != plain.fingerprint


def test_permuted_mnist_is_permuted_before_it_is_enlarged(tmp_path: Path) -> None:
    save_mnist(tmp_path)
    native = train_images(load("permutedMNIST", tmp_path))
    enlarged = train_images(load("permutedMNIST", tmp_path, smallest_image=32))
    assert torch.equal(enlarged, MemoryImages(native, torch.zeros(20, dtype=torch.int64)).resized(32).images)


def test_the_digit_of_qmnist_is_its_first_label_column(tmp_path: Path) -> None:
    labels = save_qmnist(tmp_path)
    data = load("QMNIST", tmp_path)
    assert data.train.labels.tolist() == labels[:, 0].tolist()
    assert train_images(data).shape == (20, 1, 28, 28)


def test_svhns_label_10_is_the_digit_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = save_svhn(tmp_path)
    files = {half: ["unused", f"{half}_32x32.mat", md5(tmp_path / f"{half}_32x32.mat")] for half in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    data = load("SVHN", tmp_path)
    assert data.train.labels.tolist() == [*range(1, 10), 0]
    assert torch.equal(train_images(data), torch.from_numpy(images.transpose(3, 2, 0, 1).copy()))


@pytest.mark.parametrize("damaged", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("length", [0, 6, -1])
def test_half_extracted_files_are_extracted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str, length: int
) -> None:
    """The archives lie there whole, so that nothing has to be downloaded."""
    save_mnist(tmp_path, compressed=True)
    raw = tmp_path / "MNIST" / "raw"
    trusted = [(name, md5(raw / name)) for name, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", trusted)
    whole = load("MNIST", tmp_path).fingerprint
    content = (raw / damaged).read_bytes()
    (raw / damaged).write_bytes(content[:length])
    assert load("MNIST", tmp_path).fingerprint == whole
    assert (raw / damaged).read_bytes() == content
    assert (raw / f"{damaged}.damaged").read_bytes() == content[:length]


def test_a_data_set_of_the_wrong_classes_is_refused(tmp_path: Path) -> None:
    save_mnist(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(20, dtype=np.uint8)))
    with pytest.raises(UserError, match="9 classes without a training image: 1, 2, 3, 4, 5"):
        load("MNIST", tmp_path)
