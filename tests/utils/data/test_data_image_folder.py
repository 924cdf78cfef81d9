from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import noise, save_folder, save_image, truncate, two_classes
from PIL import Image

from utils.config import DataConfig
from utils.data.batches import Batches
from utils.data.images import FileImages, MemoryImages
from utils.data.load import Data, load_data
from utils.data.loaders import image_folder as folder
from utils.errors import UserError


def load(root: Path, smallest_image: int = 1, **options: object) -> Data:
    return load_data(DataConfig("ImageFolder", str(root), **options), smallest_image, workers=2)  # type: ignore[arg-type]


def refusal(root: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path)).transpose(2, 0, 1).copy())


def test_every_image_with_its_class_in_the_order_of_names(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path))
    assert isinstance(data.train, MemoryImages)
    assert isinstance(data.test, MemoryImages)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 0, 1]
    assert torch.equal(data.train.images[3], pixels(tmp_path / "train/dog/000.png"))
    assert torch.equal(data.test.images[1], pixels(tmp_path / "test/cat/001.png"))
    assert data.pool.tolist() == [0, 1, 2, 3, 4]
    assert len(data.held_out) == 0
    spec = data.spec
    assert (spec.name, spec.channels, spec.im_size, spec.num_classes) == ("ImageFolder", 3, 8, 2)
    assert (spec.class_names, spec.augmentation) == (("cat", "dog"), "none")


def test_mean_and_std_are_the_training_images(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path))
    paths = sorted((tmp_path / "train").rglob("*.png"))
    values = torch.stack([pixels(path) for path in paths]).double() / 255
    assert data.spec.mean == pytest.approx(values.mean((0, 2, 3)).tolist())
    assert data.spec.std == pytest.approx(values.std((0, 2, 3), correction=0).tolist())


def test_val_serves_where_there_is_no_test(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    assert len(load(tmp_path).test) == 3


def test_test_comes_before_val(tmp_path: Path) -> None:
    save_folder(two_classes(tmp_path), {"val/cat": 7})
    assert len(load(tmp_path).test) == 3


def test_grey_images_have_one_channel_unless_one_is_rgb(tmp_path: Path) -> None:
    two_classes(tmp_path, mode="L")
    assert load(tmp_path).spec.channels == 1
    save_image(tmp_path / "test/dog/zzz.png")
    assert load(tmp_path).spec.channels == 3


def test_what_is_no_image_by_its_name_is_passed_over(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    (tmp_path / "train/cat/._000.png").write_bytes(b"of another system")
    (tmp_path / "train/.cache").mkdir()
    assert len(load(tmp_path).train) == 5


def test_images_below_subfolders_and_capital_suffixes_count(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cat/more").mkdir()
    (tmp_path / "train/cat/000.png").rename(tmp_path / "train/cat/more/IMAGE.PNG")
    assert len(load(tmp_path).train) == 5


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    two_classes(tmp_path / "data")
    save_folder(tmp_path / "elsewhere", {"cow": 2, "more": 3})
    (tmp_path / "data/train/cow").symlink_to(tmp_path / "elsewhere/cow")
    (tmp_path / "data/train/dog/more").symlink_to(tmp_path / "elsewhere/more")
    assert load(tmp_path / "data").train.labels.bincount().tolist() == [3, 2, 5]


def left_out(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The note on what is left out of the training images; the others are all there."""
    assert load(root).train.labels.bincount().tolist() == [3, 2]
    [note] = capsys.readouterr().err.splitlines()
    prefix = f"note: left out of {root / 'train'}: "
    assert note.startswith(prefix)
    return note.removeprefix(prefix)


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    load(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "@eaDir", "__MACOSX"])
def test_hidden_folders_inside_a_class_are_not_counted(
    tmp_path: Path, hidden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_folder(two_classes(tmp_path), {f"train/cat/{hidden}/deeper": 2})
    assert left_out(tmp_path, capsys) == f"1 × hidden folder (cat/{hidden})"


@pytest.mark.parametrize("target", ["..", "../..", ".", "../dog", "../../test"])
def test_a_link_to_where_other_images_are_counts_none_twice(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cat/up").symlink_to(target)
    if target == "../../test":  # of another half: its classes are no class of this one
        save_folder(tmp_path, {"test/dog/more": 1})
        assert load(tmp_path).train.labels.bincount().tolist() == [3 + 4, 2]
        return
    assert left_out(tmp_path, capsys) == "1 × folder that counts already (cat/up)"


def test_a_folder_that_two_links_lead_to_is_entered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path / "data")
    save_folder(tmp_path / "elsewhere", {"sub": 1})
    for name in ("a", "b"):
        (tmp_path / f"data/train/cat/{name}").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/train/dog/c").symlink_to(tmp_path / "elsewhere/sub")
    assert load(tmp_path / "data").train.labels.bincount().tolist() == [4, 2]
    assert "2 × folder that counts already (cat/b, dog/c)" in capsys.readouterr().err


def test_the_folders_of_a_class_come_before_links_of_another(tmp_path: Path) -> None:
    save_folder(two_classes(tmp_path), {"train/dog/more": 2})
    (tmp_path / "train/cat/link").symlink_to("../dog/more")
    assert load(tmp_path).train.labels.bincount().tolist() == [3, 4]


def test_a_class_linked_to_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cow").symlink_to("cat")
    assert "1 class without a training image: cow" in refusal(tmp_path)
    assert "1 × folder that counts already (cow)" in capsys.readouterr().err


def test_a_class_behind_a_dead_link_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cow").symlink_to(tmp_path / "unplugged")
    (tmp_path / "train/dog/itself").symlink_to("itself")
    assert left_out(tmp_path, capsys) == "2 × link to nothing (cow, dog/itself)"


def test_images_of_another_ending_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path)
    for number in range(1234):
        (tmp_path / f"train/cat/{number:04}.heic").touch()
    said = left_out(tmp_path, capsys)
    assert said == "1,234 × file of another ending (cat/0000.heic, cat/0001.heic, cat/0002.heic, …)"


def test_a_class_whose_name_begins_with_a_dot_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_folder(two_classes(tmp_path), {"train/.net": 2})
    assert left_out(tmp_path, capsys) == "1 × hidden folder (.net)"


def test_images_outside_any_class_and_hidden_ones_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_classes(tmp_path)
    save_image(tmp_path / "train/lost.png")
    (tmp_path / "train/cat/._000.png").write_bytes(b"of another system")
    said = left_out(tmp_path, capsys)
    assert said == "1 × image outside any class (lost.png); 1 × hidden image (cat/._000.png)"


def test_what_is_a_pipe_by_its_kind_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(two_classes(tmp_path) / "train/cat/pipe.png")
    assert len(load(tmp_path).train) == 5


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    two_classes(tmp_path, mode="RGB")
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    for path in (tmp_path / "train/dog").iterdir():
        Image.fromarray(clear).save(path)
    assert (load(tmp_path).train.images[3:] == 255).all()  # type: ignore[union-attr]
    blue = load(tmp_path, background="#0000ff")
    assert blue.train.images[4, :, 2, 3].tolist() == [0, 0, 255]  # type: ignore[union-attr]
    assert blue.fingerprint != load(tmp_path).fingerprint


def test_names_of_any_bytes_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes(tmp_path)
    (tmp_path / "train/cat/000.png").rename(os.fsdecode(os.fsencode(tmp_path / "train/cat") + b"/caf\xe9.png"))
    for half in ("train", "test"):
        (tmp_path / half / "dog").rename(os.fsdecode(os.fsencode(tmp_path / half) + b"/\xe9\n"))
    held = load(tmp_path, im_size=8)
    assert held.spec.class_names == ("cat", "\udce9\n")
    monkeypatch.setattr(folder, "whole_memory", lambda: 100)
    assert len(load(tmp_path, im_size=8).fingerprint) == len(held.fingerprint)


def test_im_size_resizes_to_a_square(tmp_path: Path) -> None:
    two_classes(tmp_path, size=(20, 12))
    data = load(tmp_path, im_size=6)
    assert isinstance(data.train, MemoryImages)
    assert data.train.images.shape == (5, 3, 6, 6)
    assert data.spec.im_size == 6


def test_small_images_are_enlarged_for_the_network(tmp_path: Path) -> None:
    assert load(two_classes(tmp_path), smallest_image=20).spec.im_size == 32
    assert load(tmp_path, smallest_image=40).spec.im_size == 40
    assert load(tmp_path, smallest_image=8).spec.im_size == 8
    assert load(two_classes(tmp_path / "grey", mode="L"), smallest_image=20).spec.im_size == 28


def test_several_sizes_need_an_im_size(tmp_path: Path) -> None:
    two_classes(tmp_path)
    save_image(tmp_path / "train/dog/odd.png", (9, 8))
    message = refusal(tmp_path)
    assert "9x8" in message
    assert "8x8" in message
    assert "--im_size" in message
    assert load(tmp_path, im_size=8).spec.im_size == 8


def test_oblong_images_need_an_im_size(tmp_path: Path) -> None:
    assert "12x8, not square: pass --im_size" in refusal(two_classes(tmp_path, size=(12, 8)))


def test_an_im_size_below_what_the_network_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--im_size 8 is too small: this network takes 28 or more"):
        load(two_classes(tmp_path), smallest_image=28, im_size=8)
    assert "--im_size 0 is too small" in refusal(tmp_path, im_size=0)


def test_every_corrupt_image_is_named_before_training(tmp_path: Path) -> None:
    two_classes(tmp_path)
    broken = [tmp_path / "train/cat/001.png", tmp_path / "train/dog/000.png", tmp_path / "test/dog/000.png"]
    truncate(broken[0])
    broken[1].write_bytes(b"")
    broken[2].write_text("text")
    for options in ({}, {"im_size": 8}):
        message = refusal(tmp_path, **options)
        assert message.startswith("3 unreadable images")
        assert all(str(path) in message for path in broken)


def test_a_folder_of_nothing_but_corrupt_images(tmp_path: Path) -> None:
    for path in two_classes(tmp_path).rglob("*.png"):
        path.write_bytes(b"")
    assert refusal(tmp_path).startswith("8 unreadable images")


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_folder_is_named_with_the_layout(tmp_path: Path, missing: str) -> None:
    two_classes(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    message = refusal(tmp_path)
    assert f"no folder {tmp_path / ('val' if missing == 'test' else 'train')}" in message
    assert "train/<class>" in message


def test_a_folder_without_classes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert "has no subfolder" in refusal(tmp_path)


def test_one_class_is_too_few(tmp_path: Path) -> None:
    save_folder(tmp_path, {"train/cat": 2, "test/cat": 1})
    assert "one class, 'cat': at least two" in refusal(tmp_path)


def test_a_class_without_a_training_image_is_named(tmp_path: Path) -> None:
    (two_classes(tmp_path) / "train/cow").mkdir()
    assert "1 class without a training image: cow" in refusal(tmp_path)


def test_a_test_class_that_is_not_trained_on_is_named(tmp_path: Path) -> None:
    save_folder(two_classes(tmp_path), {"test/cow": 1})
    assert "classes without training images: cow" in refusal(tmp_path)


def test_classes_without_an_image_at_all(tmp_path: Path) -> None:
    two_classes(tmp_path, suffix=".png")
    for path in (tmp_path / "test").rglob("*.png"):
        path.unlink()
    message = refusal(tmp_path)
    assert "no images below" in message
    assert ".jpeg" in message


@pytest.mark.parametrize("place", ["train", "train/cat"])
def test_an_unreadable_folder_is_named(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes(tmp_path)
    closed, scandir = tmp_path / place, os.scandir

    def scan(path: Path) -> object:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert refusal(tmp_path) == f"cannot read {closed}: Permission denied"


def test_the_fingerprint_changes_with_a_pixel_a_label_and_a_size(tmp_path: Path) -> None:
    first = load(two_classes(tmp_path)).fingerprint
    assert load(tmp_path).fingerprint == first
    assert load(tmp_path, im_size=7).fingerprint != first
    image = Image.open(tmp_path / "test/dog/000.png")
    red, green, blue = image.getpixel((3, 3))  # type: ignore[misc]
    image.putpixel((3, 3), (red ^ 1, green, blue))
    image.save(tmp_path / "test/dog/000.png")
    second = load(tmp_path).fingerprint
    (tmp_path / "train/cat/002.png").rename(tmp_path / "train/dog/!.png")
    assert len({first, second, load(tmp_path).fingerprint}) == 3


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "whole_memory", lambda: 2 * 8 * 3 * 10 * 10 - 1)


@pytest.mark.usefixtures("small_machine")
def test_what_does_not_fit_in_memory_stays_in_its_files(tmp_path: Path) -> None:
    two_classes(tmp_path, size=(10, 10))
    assert "8 images of 10x10 do not fit in memory: pass --im_size" in refusal(tmp_path)
    data = load(tmp_path, im_size=10)
    assert isinstance(data.train, FileImages)
    held = load(two_classes(tmp_path / "small", size=(10, 10)), im_size=9)
    assert isinstance(held.train, MemoryImages)


def test_it_makes_no_difference_where_the_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes(tmp_path, size=(14, 10), mode="RGBA")
    Image.fromarray(noise(14, 10, 4)).save(tmp_path / "train/dog/000.png")
    held = load(tmp_path, im_size=10, background="#102030")
    monkeypatch.setattr(folder, "whole_memory", lambda: 100)
    in_files = load(tmp_path, im_size=10, background="#102030")
    assert in_files.spec == held.spec
    for data, other in zip(_batches(held), _batches(in_files), strict=True):
        assert torch.equal(data, other)
    assert load(tmp_path, im_size=10, background="#102030").fingerprint == in_files.fingerprint
    (tmp_path / "train/cat/000.png").touch()
    assert load(tmp_path, im_size=10).fingerprint != in_files.fingerprint


def _batches(data: Data) -> list[torch.Tensor]:
    return [batch.x for batch in Batches(data.train, data.spec, data.pool, 2, device="cpu", shuffle_seed=0)]


@pytest.mark.usefixtures("small_machine")
def test_corrupt_images_are_named_where_nothing_is_kept(tmp_path: Path) -> None:
    two_classes(tmp_path, size=(10, 10))
    truncate(tmp_path / "train/cat/001.png")
    truncate(tmp_path / "test/dog/000.png")
    message = refusal(tmp_path, im_size=10)
    assert message.startswith("2 unreadable images")
    assert "train/cat/001.png" in message
    assert "test/dog/000.png" in message
