"""A fingerprint changes with all that makes an index mean another image, and with nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from made_images import save_folder, save_image, save_mnist, two_classes
from torchvision.datasets import ImageFolder

from utils.config import DataConfig
from utils.data import fingerprint
from utils.data.fingerprint import identified
from utils.data.loaders import tiny_imagenet
from utils.errors import UserError

CAT = "train/cat/000.png"


def halves(root: Path, dataset: str = "ImageFolder") -> tuple[str, str]:
    fingerprint.forget()
    found = identified(DataConfig(dataset, str(root)))
    assert found.train_images is not None and found.test_images is not None
    return found.train_images, found.test_images


def literal(root: Path, half: str) -> str:
    """The fingerprint as its definition reads: names of classes, labels as int64, and each file after its name."""
    paths = sorted((root / half).glob("*/*"))
    digest = hashlib.sha256(b"('cat', 'dog')")
    for path in paths:
        digest.update(["cat", "dog"].index(path.parent.name).to_bytes(8, "little"))
    for path in paths:
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{len(paths)}-{digest.hexdigest()[:16]}"


def test_it_is_what_it_says(tmp_path: Path) -> None:
    root = two_classes(tmp_path)
    assert halves(root) == (literal(root, "train"), literal(root, "test"))
    assert halves(root)[0].startswith("5-")


@pytest.mark.parametrize("ends", [False, True], ids=["whole files", "sizes and ends"])
@pytest.mark.parametrize(
    "change",
    [
        lambda root: save_image(root / CAT, seed=999),
        lambda root: (root / CAT).rename(root / "train/dog/000 too.png"),
        lambda root: (root / CAT).rename(root / "train/cat/004.png"),
        lambda root: (root / CAT).unlink(),
        lambda root: save_image(root / "train/cat/005.png", seed=999),
        lambda root: [(root / half / "cat").rename(root / half / "zebra") for half in ("train", "test")],
    ],
    ids=["replaced", "another class", "another place", "removed", "added", "classes in another order"],
)
def test_what_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object, ends: bool) -> None:
    if ends:
        monkeypatch.setattr(fingerprint, "_READ_WHOLE", 0)
    root = two_classes(tmp_path)
    train, test = halves(root)
    change(root)  # type: ignore[operator]
    assert halves(root)[0] != train
    assert (halves(root)[1] == test) is not (root / "test/zebra").exists()


def test_a_changed_test_half_is_told_from_a_changed_training_half(tmp_path: Path) -> None:
    train, test = halves(two_classes(tmp_path))
    save_image(tmp_path / "test/cat/000.png", seed=999)
    assert halves(tmp_path)[0] == train
    assert halves(tmp_path)[1] != test


def test_a_moved_or_copied_folder_and_other_times_are_the_same_data(tmp_path: Path) -> None:
    first = halves(two_classes(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    os.utime(tmp_path / "there" / CAT, (0, 0))
    assert halves(tmp_path / "there") == first


def test_of_large_sets_the_size_and_both_ends_of_each_file_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_READ_WHOLE", 0)
    root = two_classes(tmp_path)
    content = bytearray(20_000)
    seen = set()
    for place in (None, 0, 4095, 20_000 - 4096, 19_999):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        (root / CAT).write_bytes(changed)
        seen.add(halves(root))
    (root / CAT).write_bytes(content + b"\0")
    assert len(seen | {halves(root)}) == 6


def test_of_images_in_memory_the_pixels_count(tmp_path: Path) -> None:
    save_mnist(tmp_path / "one")
    save_mnist(tmp_path / "two")
    first = halves(tmp_path / "one", "MNIST")
    assert first[0].startswith("20-")
    assert halves(tmp_path / "two", "MNIST") == first
    assert halves(tmp_path / "two", "permutedMNIST")[0] != first[0]
    path = tmp_path / "two/MNIST/raw/train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert halves(tmp_path / "two", "MNIST")[0] != first[0]
    assert halves(tmp_path / "two", "MNIST")[1] == first[1]


def test_imagenet_in_two_folders(tmp_path: Path) -> None:
    counts = {"train/n01": 2, "train/n02": 1, "val/n01": 1, "val/n02": 1}
    first = halves(save_folder(tmp_path / "one", counts), "ImageNet")
    assert halves(save_folder(tmp_path / "two/imagenet", counts).parent, "ImageNet") == first
    save_image(tmp_path / "two/imagenet/train/n01/000.png", seed=999)
    assert halves(tmp_path / "two", "ImageNet")[0] != first[0]
    assert halves(tmp_path / "two", "ImageNet")[1] == first[1]


def test_tiny_imagenet_in_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_imagenet, "_TRAIN_IMAGES", 3)
    monkeypatch.setattr(tiny_imagenet, "_TEST_IMAGES", 2)
    found = []
    for root in (tmp_path / "one", tmp_path / "two"):
        folder = root / "tiny-imagenet-200"
        save_folder(folder, {"train/n01/images": 2, "train/n02/images": 1, "val/images": 2})
        (folder / "val/val_annotations.txt").write_text("000.png\tn01\t0\n001.png\tn02\t0\n")
        found.append(halves(root, "TinyImageNet"))
    assert found[0] == found[1]
    (folder / "val/val_annotations.txt").write_text("000.png\tn02\t0\n001.png\tn02\t0\n")
    assert halves(tmp_path / "two", "TinyImageNet")[0] == found[0][0]
    assert halves(tmp_path / "two", "TinyImageNet")[1] != found[0][1]


def test_it_is_in_no_name_and_a_network_s_size_does_not_change_it(tmp_path: Path) -> None:
    config = DataConfig("ImageFolder", str(two_classes(tmp_path)), im_size=6)
    other = identified(DataConfig("ImageFolder", str(tmp_path)))
    assert (identified(config).train_images, identified(config).settings()) == (other.train_images, config)


def test_missing_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        halves(tmp_path / "nowhere")


def order_of(root: Path) -> tuple[tuple[str, ...], list[str]]:
    fingerprint.forget()
    train, _ = fingerprint.contents(DataConfig("ImageFolder", str(root)))
    assert train.files is not None
    assert [train.class_names[label] for label in train.labels] == [Path(name).parts[1] for name in train.files]
    return train.class_names, list(train.files)


def order_of_torchvision(root: Path) -> tuple[tuple[str, ...], list[str]]:
    there = ImageFolder(str(root / "train"))
    return tuple(there.classes), [str(Path(path).relative_to(root)) for path, _ in there.samples]


def test_classes_and_images_are_in_torchvision_s_order(tmp_path: Path) -> None:
    counts = {f"train/{number}": 2 for number in range(12)} | {"train/Z": 1, "train/é": 1, "test/0": 1}
    root = save_folder(tmp_path, counts)
    assert order_of(root) == order_of_torchvision(root)
    assert order_of(root)[0][:4] == ("0", "1", "10", "11")  # as texts, not as numbers


def test_nested_images_are_in_another_order_than_torchvision_s(tmp_path: Path) -> None:
    root = save_folder(tmp_path, {"train/cat/old": 1, "train/cat": 1, "train/dog": 1, "test/cat": 1})
    (root / "train/cat/000.png").rename(root / "train/cat/zebra.png")
    assert order_of(root)[1] == ["train/cat/old/000.png", "train/cat/zebra.png", "train/dog/000.png"]
    assert sorted(order_of_torchvision(root)[1]) == order_of(root)[1]
    assert order_of_torchvision(root)[1] == ["train/cat/zebra.png", "train/cat/old/000.png", "train/dog/000.png"]
