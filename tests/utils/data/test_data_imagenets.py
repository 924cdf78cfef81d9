from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import save_folder, save_image, truncate
from PIL import Image
from test_data_download import fail, serve

from utils.config import DataConfig
from utils.data.batches import Batches
from utils.data.images import FileImages, MemoryImages
from utils.data.load import Data, load_data
from utils.data.loaders import tiny_imagenet
from utils.data.registry import DATASETS
from utils.errors import UserError

WNIDS = ("n01", "n02", "n03")


@pytest.fixture(autouse=True)
def three_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TinyImageNet", "ImageNet"):
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], num_classes=3))
    monkeypatch.setattr(tiny_imagenet, "_TRAIN_IMAGES", 6)
    monkeypatch.setattr(tiny_imagenet, "_TEST_IMAGES", 4)


def save_tiny_imagenet(root: Path) -> Path:
    """In the layout of the original; one training image is grey, the validation images are not in class order."""
    folder = root / "tiny-imagenet-200"
    save_folder(folder, {f"train/{wnid}/images": 2 for wnid in WNIDS}, (64, 64), suffix=".JPEG")
    save_image(folder / "train/n02/images/001.JPEG", (64, 64), "L")
    (folder / "train/n01/n01_boxes.txt").write_text("000.JPEG\t0\t0\t63\t63\n")
    save_folder(folder, {"val/images": 4, "test/images": 5}, (64, 64), suffix=".JPEG")
    labels = ("n03", "n01", "n02", "n03")
    rows = [f"{number:03}.JPEG\t{wnid}\t0\t0\t62\t62\n" for number, wnid in enumerate(labels)]
    (folder / "val/val_annotations.txt").write_text("".join(rows))
    (folder / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    return folder


def tiny(root: Path, **options: object) -> Data:
    return load_data(DataConfig("TinyImageNet", str(root), **options), workers=1)  # type: ignore[arg-type]


def test_tiny_imagenet_is_tested_on_its_labelled_validation_half(tmp_path: Path) -> None:
    folder = save_tiny_imagenet(tmp_path)
    data = tiny(tmp_path)
    assert isinstance(data.train, MemoryImages)
    assert isinstance(data.test, MemoryImages)
    assert data.train.images.shape == (6, 3, 64, 64)
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.labels.tolist() == [2, 0, 1, 2]
    with Image.open(folder / "val/images/001.JPEG") as image:
        assert torch.equal(data.test.images[1].permute(1, 2, 0), torch.from_numpy(np.array(image)))
    assert data.spec.class_names == WNIDS


def test_tiny_imagenet_at_32(tmp_path: Path) -> None:
    save_tiny_imagenet(tmp_path)
    data = tiny(tmp_path, im_size=32)
    assert isinstance(data.train, MemoryImages)
    assert data.train.images.shape == (6, 3, 32, 32)
    assert data.spec.im_size == 32


@pytest.mark.parametrize("gone", ["train/n03/images/001.JPEG", "train/n03", "train", "val/val_annotations.txt"])
def test_an_incomplete_tiny_imagenet_is_not_taken_for_whole(
    tmp_path: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_tiny_imagenet(tmp_path) / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    fail(monkeypatch, AssertionError("downloaded over what is there"))
    with pytest.raises(UserError, match=r"incomplete|cannot read|damaged") as caught:
        tiny(tmp_path)
    assert str(tmp_path / "tiny-imagenet-200") in str(caught.value)


def test_a_validation_image_that_is_missing_is_named(tmp_path: Path) -> None:
    (save_tiny_imagenet(tmp_path) / "val/images/002.JPEG").unlink()
    with pytest.raises(UserError, match=r"1 unreadable image: .*val/images/002\.JPEG"):
        tiny(tmp_path)


def test_annotations_of_an_unknown_class_are_refused(tmp_path: Path) -> None:
    annotations = save_tiny_imagenet(tmp_path) / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("n02", "n99"))
    with pytest.raises(UserError, match=r"val_annotations\.txt is damaged"):
        tiny(tmp_path)


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(folder.name) / path.relative_to(folder))
    return buffer.getvalue()


def test_tiny_imagenet_is_downloaded_and_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(save_tiny_imagenet(tmp_path / "source"))
    monkeypatch.setattr(tiny_imagenet, "_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    serve(monkeypatch, content)
    assert tiny(tmp_path / "data").fingerprint == tiny(tmp_path / "source").fingerprint
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        ".TinyImageNet.lock",
        "tiny-imagenet-200",
        "tiny-imagenet-200.zip",
    ]


def test_an_extraction_that_breaks_off_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(save_tiny_imagenet(tmp_path / "source"))
    monkeypatch.setattr(tiny_imagenet, "_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    serve(monkeypatch, content)

    def half(archive: Path, target: Path) -> None:
        (target / "tiny-imagenet-200" / "train").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiny_imagenet, "extract_archive", half)
    with pytest.raises(UserError, match="No space left on device"):
        tiny(tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()] == []


def save_imagenet(root: Path) -> Path:
    counts = {f"{half}/{wnid}": 2 for half in ("train", "val") for wnid in WNIDS}
    return save_folder(root, counts, (300, 260), suffix=".JPEG")


def imagenet(root: Path, **options: object) -> Data:
    return load_data(DataConfig("ImageNet", str(root), **options), workers=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("below", ["", "imagenet"])
def test_imagenet_stays_in_its_files(tmp_path: Path, below: str) -> None:
    save_imagenet(tmp_path / below)
    data = imagenet(tmp_path)
    assert isinstance(data.train, FileImages)
    assert isinstance(data.test, FileImages)
    assert (data.train.resize, data.train.crop) == (256, 224)
    assert data.test.paths[3] == "val/n02/001.JPEG"
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (data.spec.im_size, data.spec.augmentation) == (224, "resized_crop_flip")
    (batch,) = Batches(data.test, data.spec, torch.arange(2), 2, device="cpu")
    assert batch.x.shape == (2, 3, 224, 224)


def test_imagenet_at_another_size_keeps_the_proportion_of_its_crop(tmp_path: Path) -> None:
    train = imagenet(save_imagenet(tmp_path), im_size=112).train
    assert isinstance(train, FileImages)
    assert (train.resize, train.crop) == (128, 112)


def test_imagenets_fingerprint_follows_its_files(tmp_path: Path) -> None:
    save_imagenet(tmp_path / "one")
    first = imagenet(tmp_path / "one").fingerprint
    (tmp_path / "one").rename(tmp_path / "two")
    assert imagenet(tmp_path / "two").fingerprint == first  # wherever the folder lies
    save_image(tmp_path / "two/val/n01/000.JPEG", (200, 200))
    assert imagenet(tmp_path / "two").fingerprint != first


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    save_imagenet(tmp_path)
    for name in ("train/n01/000.JPEG", "val/n03/001.JPEG"):
        (tmp_path / name).write_bytes(b"")
    truncate(tmp_path / "val/n02/000.JPEG")  # has a header still
    with pytest.raises(UserError, match=r"2 unreadable images: .*n01/000\.JPEG.*n03/001\.JPEG"):
        imagenet(tmp_path)


def test_a_part_of_imagenet_is_refused(tmp_path: Path) -> None:
    shutil.rmtree(save_imagenet(tmp_path) / "train/n03")
    with pytest.raises(UserError, match="classes without training images: n03"):
        imagenet(tmp_path)
    shutil.rmtree(tmp_path / "val/n03")
    with pytest.raises(UserError, match=r"ImageNet has 3 classes, but .* holds 2"):
        imagenet(tmp_path)


def test_a_missing_imagenet_is_said_with_its_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*train: ImageNet needs .*--dataset Digits$"):
        imagenet(tmp_path)
