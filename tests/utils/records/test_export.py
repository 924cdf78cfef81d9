"""A coreset leaves the project as indices, as images by class, or as a picture of itself."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_runs import finish_run, made_up_config
from PIL import Image

from utils.cli import run_main
from utils.config import DataConfig
from utils.data.coreset import Coreset
from utils.data.images import MemoryImages
from utils.data.load import load_data
from utils.data.origin import Origin
from utils.errors import UserError
from utils.files import read_npz, write_npz
from utils.records import contact_sheet as pictures
from utils.records.export import Source, main, write_indices

INDICES = np.array([1400, 3, 12, 4, 999])


def export(*arguments: object) -> int:
    return run_main(lambda: main([str(argument) for argument in arguments]))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that picked five digits."""
    return finish_run(tmp_path / "result", made_up_config(), 80.0, indices=INDICES)


@pytest.fixture
def weighted(tmp_path: Path) -> Path:
    """A coreset of another project, with weights."""
    path = tmp_path / "weighted.npz"
    write_npz(path, {"indices": INDICES, "weights": np.array([0.1, 2, 3, 0, 1.5], np.float32)})
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of twelve images of two sizes in two classes, each of one colour."""
    root = tmp_path / "photographs"
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for number in range(3):
                size = (20, 30) if number else (200, 100)
                Image.new("RGB", size, (100 * label, 50 * number, 200)).save(root / part / name / f"{number}.jpg")
    return root


def test_npz(run: Path, weighted: Path, tmp_path: Path) -> None:
    assert export(run, "--format", "npz", "--output", tmp_path / "a.npz") == 0
    assert {name: list(array) for name, array in read_npz(tmp_path / "a.npz").items()} == {"indices": list(INDICES)}
    assert export(weighted, "--format", "npz", "--output", tmp_path / "b.npz") == 0
    assert read_npz(tmp_path / "b.npz").keys() == {"indices", "weights"}


def test_csv_with_weights_and_labels(weighted: Path, tmp_path: Path) -> None:
    output = tmp_path / "coreset.csv"
    assert export(weighted, "--format", "csv", "--output", output, "--labels", "--dataset", "Digits") == 0
    labels = load_data(DataConfig("Digits")).train.labels[INDICES].tolist()
    with output.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["index", "weight", "label", "class", "train_images"]
    assert [int(row[0]) for row in rows[1:]] == list(INDICES)
    assert [row[1] for row in rows[1:]] == ["0.1", "2.0", "3.0", "0.0", "1.5"]
    assert [int(row[2]) for row in rows[1:]] == labels


def test_json_goes_with_the_runs_settings(run: Path, weighted: Path, tmp_path: Path) -> None:
    assert export(run, "--format", "json", "--output", tmp_path / "a.json") == 0
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "run": made_up_config().as_dict(),
        "indices": list(INDICES),
    }
    assert export(weighted, "--format", "json", "--output", tmp_path / "b.json") == 0
    assert json.loads((tmp_path / "b.json").read_text()) == {
        "indices": list(INDICES),
        "weights": [0.1, 2.0, 3.0, 0.0, 1.5],
    }


def test_scores_of_all_samples(run: Path, tmp_path: Path) -> None:
    scores = {"indices": np.array([0, 2, 5]), "labels": np.array([1, 0, 1]), "AUM": np.array([0.1, -2.5, 3])}
    write_npz(run / "scores.npz", scores)
    assert export(run, "--format", "scores", "--output", tmp_path / "a.csv") == 0
    assert (tmp_path / "a.csv").read_text().splitlines() == ["index,label,AUM", "0,1,0.1", "2,0,-2.5", "5,1,3.0"]
    assert export(run, "--format", "scores", "--output", tmp_path / "a.npz") == 0
    for name, array in read_npz(tmp_path / "a.npz").items():
        assert np.array_equal(array, scores[name])


def test_a_run_without_scores_says_how_to_have_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run, "--format", "scores", "--output", tmp_path / "a.csv") == 2
    assert "--save_scores yes" in capsys.readouterr().err


def test_images_in_memory_become_png_by_class(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    assert export(run, "--format", "folder", "--output", folder) == 0
    data = load_data(DataConfig("Digits"))
    assert isinstance(data.train, MemoryImages)
    with (folder / "coreset.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(INDICES)
    assert {row["file"] for row in rows} == {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    for row in rows:
        index, path = int(row["index"]), folder / row["file"]
        assert path.parent.name == data.spec.class_names[data.train.labels[index]]
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image)[:, :, 0], data.train.images[index, 0].numpy())


def test_rank_is_the_order_of_picking_within_a_class(tmp_path: Path) -> None:
    labels = load_data(DataConfig("Digits")).train.labels.numpy()
    threes = np.flatnonzero(labels == 3)[[5, 1, 7]]
    write_npz(tmp_path / "threes.npz", {"indices": threes})
    folder = tmp_path / "images"
    assert export(tmp_path / "threes.npz", "--dataset", "Digits", "--format", "folder", "--output", folder) == 0
    names = sorted(path.name for path in (folder / "3").iterdir())
    assert names == [f"{rank:05d}_{index}.png" for rank, index in enumerate(threes)]


@pytest.mark.parametrize("link", [False, True])
def test_files_are_copied_or_linked_as_they_are(tmp_path: Path, photographs: Path, link: bool) -> None:
    config = made_up_config(dataset="ImageFolder", data_path=str(photographs))
    run = finish_run(tmp_path / "result", config, 80.0, indices=np.array([4, 0]))
    folder = tmp_path / "mine" / "train"
    assert export(run, "--format", "folder", "--output", folder, *(["--link"] if link else [])) == 0
    for name, original in (("dog/00000_4.jpg", "dog/1.jpg"), ("cat/00000_0.jpg", "cat/0.jpg")):
        assert (folder / name).read_bytes() == (photographs / "train" / original).read_bytes()
        assert (folder / name).samefile(photographs / "train" / original) == link
    assert len(list(folder.glob("*/*"))) == 2


def test_a_link_across_file_systems_is_symbolic(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_device(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_device)
    write_npz(tmp_path / "c.npz", {"indices": np.array([0])})
    source = (tmp_path / "c.npz", "--dataset", "ImageFolder", "--data_path", photographs)
    assert export(*source, "--format", "folder", "--link", "--output", tmp_path / "images") == 0
    assert (tmp_path / "images" / "cat" / "00000_0.jpg").is_symlink()
    assert (tmp_path / "images" / "cat" / "00000_0.jpg").samefile(photographs / "train" / "cat" / "0.jpg")


def test_only_an_earlier_export_is_ever_replaced(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").touch()
    folder = ("--format", "folder", "--output")
    assert export(run, *folder, home) == 2
    assert export(run, *folder, home, "--force") == 2
    assert "it is no earlier export" in capsys.readouterr().err
    assert [path.name for path in home.iterdir()] == ["thesis.tex"]
    assert export(run, *folder, tmp_path / "images") == 0
    (tmp_path / "images" / "stale.png").touch()
    assert export(run, *folder, tmp_path / "images") == 2
    assert export(run, *folder, tmp_path / "images", "--force") == 0
    assert not (tmp_path / "images" / "stale.png").exists()


def test_an_existing_file_is_replaced_only_by_force(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "coreset.json"
    output.write_text("mine")
    assert export(run, "--format", "json", "--output", output) == 2
    assert output.read_text() == "mine"
    assert export(run, "--format", "json", "--output", output, "--force") == 0
    assert output.read_text() != "mine"


def test_a_failed_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Image.Image, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    before = sorted(tmp_path.iterdir())
    assert export(run, "--format", "folder", "--output", tmp_path / "images") == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'images'}: No space left on device\n"
    assert sorted(tmp_path.iterdir()) == before


def test_contact_sheet_goes_into_the_run(run: Path) -> None:
    assert export(run, "--format", "contact_sheet", "--picks", "4") == 0
    with Image.open(run / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > 10 * 64
    assert export(run, "--format", "contact_sheet") == 2
    assert export(run, "--format", "contact_sheet", "--force", "--classes", "2") == 0
    with Image.open(run / "contact_sheet.png") as sheet:
        assert sheet.height < 3 * 70


def test_contact_sheet_shows_the_first_picks_in_order(photographs: Path) -> None:
    source = pictures.load_pictures(DataConfig("ImageFolder", str(photographs)))
    content = pictures.contact_sheet(source, np.array([5, 2, 4, 1]), title="t", picks=1, classes=9)
    path = photographs / "sheet.png"
    path.write_bytes(content)
    with Image.open(path) as sheet:
        rows = [[sheet.getpixel((x, y)) for x in range(sheet.width)] for y in (28 + 32, 28 + 68 + 32)]
    for row, colour in zip(rows, ((0, 100, 200), (100, 100, 200)), strict=True):
        shown = [pixel for pixel in row if max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 8]
        assert len(shown) == 40  # a 20 x 30 image, twice as large
    assert rows[0] != rows[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "csv"], "--output is missing"),
        (["--format", "csv", "--output", "x", "--link"], "--link goes with --format folder"),
        (["--format", "folder", "--output", "x", "--link"], "not single files"),
        (["--format", "folder", "--output", "x", "--dataset", "MNIST"], "is not Digits"),
    ],
)
def test_what_does_not_go_together(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], complaint: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert export(run, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert complaint in error
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"weights": np.ones(2)},
        {"indices": np.array([0.5])},
        {"indices": np.array([[1, 2]])},
        {"indices": np.array([1, 1])},
        {"indices": np.array([-1, 1])},
        {"indices": np.array([1, 2]), "weights": np.ones(3)},
    ],
)
def test_what_is_no_coreset_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray]
) -> None:
    write_npz(tmp_path / "no.npz", arrays)
    assert export(tmp_path / "no.npz", "--format", "csv", "--output", tmp_path / "no.csv") == 2
    said = capsys.readouterr().err
    assert "no.npz: a coreset's " in said or "no.npz has no array 'indices'" in said


def test_indices_must_fit_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_npz(tmp_path / "c.npz", {"indices": np.array([50_000])})
    assert export(tmp_path / "c.npz", "--format", "csv", "--output", tmp_path / "c.csv") == 0
    assert export(tmp_path / "c.npz", "--format", "folder", "--output", tmp_path / "f") == 2
    assert "name its data with --dataset" in capsys.readouterr().err
    assert export(tmp_path / "c.npz", "--format", "folder", "--output", tmp_path / "f", "--dataset", "Digits") == 2
    assert "names images outside of the" in capsys.readouterr().err
    assert export(tmp_path / "none.npz", "--format", "csv", "--output", tmp_path / "d.csv") == 2


def test_an_unreadable_image_is_named(tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photographs / "train" / "cat" / "0.jpg").write_bytes(b"no image")
    write_npz(tmp_path / "c.npz", {"indices": np.array([0])})
    source = (tmp_path / "c.npz", "--dataset", "ImageFolder", "--data_path", photographs)
    assert export(*source, "--format", "contact_sheet", "--output", tmp_path / "sheet.png") == 2
    assert f"cannot read the image {photographs / 'train' / 'cat' / '0.jpg'}" in capsys.readouterr().err


def test_contact_sheet_takes_any_names_of_classes() -> None:
    names = ("two\nlines", "caf\udce9", "日本 \t🐈", "")
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    source = pictures.Pictures(names, np.arange(4), images)
    content = pictures.contact_sheet(source, np.arange(4), title="a\nb \udce9", picks=1, classes=9)
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.height > 4 * 64


def test_contact_sheet_shows_images_upright_and_opaque(tmp_path: Path) -> None:
    half = np.zeros((64, 64, 4), dtype=np.uint8)
    half[:32] = 255, 0, 0, 255  # the upper half red, the lower transparent
    tags = Image.Exif()
    tags[0x0112] = 3  # upside down
    Image.fromarray(half).save(tmp_path / "a.png", exif=tags)
    source = pictures.Pictures(("a",), np.zeros(1, int), files=(tmp_path / "a.png",), background="#0000ff")
    content = pictures.contact_sheet(source, np.zeros(1, int), title="t", picks=1, classes=1)
    with Image.open(io.BytesIO(content)) as sheet:
        column = [sheet.getpixel((sheet.width - 40, y)) for y in range(sheet.height)]
    assert column.index((0, 0, 255)) < column.index((255, 0, 0))


def test_class_names_become_folders_that_stay_apart_and_inside() -> None:
    assert pictures._folder_names(["cat", "black/white", "tench, Tinca"]) == ["cat", "black_white", "tench, Tinca"]
    assert pictures._folder_names(["crane", "crane"]) == ["0000_crane", "0001_crane"]
    assert pictures._folder_names(["..", "x"]) == ["0000_", "0001_x"]


def test_file_of_images_in_memory_is_refused() -> None:
    source = pictures.load_pictures(DataConfig("Digits"))
    with pytest.raises(UserError, match="not single files"):
        source.file(0)


@pytest.mark.parametrize("form", ["csv", "json", "npz"])
def test_names_of_files_may_be_any_bytes(tmp_path: Path, form: str) -> None:
    name = os.fsdecode(b"train/cat/caf\xe9, old.png")  # Latin-1
    origin = Origin("5-a", ("cat", "dog"), np.array([0]), np.array([name]))
    write_indices(tmp_path / "c", Source(Coreset(np.array([3]), origin=origin), None), form)
    content = (tmp_path / "c").read_bytes()
    if form == "csv":
        assert content == b'index,label,class,file,train_images\n3,0,cat,"train/cat/caf\xe9, old.png",5-a\n'
    elif form == "json":
        assert json.loads(content)["files"] == [name]
    else:
        assert Coreset.load(tmp_path / "c").origin.files.tolist() == [name]  # type: ignore[union-attr]
