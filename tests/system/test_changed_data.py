"""A result belongs to its data: where the images have changed, one line says so and nothing old is touched."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Answer, Commands
from made_images import save_image, save_mnist, two_classes

from utils.records.folder import read_sealed, write_sealed
from utils.records.tables import load_table

FLAGS = "--model MLP --selection Uniform --fraction 0.5 --epochs 1 --batch 4"
CONDENSE = "--model MLP --method DM --iterations 2 --epochs 1 --num_eval 1"
CHANGED = r"error: .* is of other data: since then the training images \(5, but others\) have changed"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "photos")


def replace_an_image(photos: Path) -> None:
    save_image(photos / "train/cat/000.png", seed=999)


def refused(answer: Answer, tmp_path: Path, before: dict[str, bytes]) -> None:
    """The command ended in the one line, and every file is as it was."""
    assert re.match(CHANGED, answer.error), answer.error
    assert "--save_path" in answer.error
    assert contents(tmp_path / "result") == before


def test_a_finished_run_is_no_result_of_other_images(commands: Commands, photos: Path, tmp_path: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    assert commands.main(flags).status == 0
    before = contents(tmp_path / "result")
    replace_an_image(photos)
    refused(commands.main(flags), tmp_path, before)
    assert commands.main(flags, save_path="elsewhere").status == 0
    assert contents(tmp_path / "result") == before


def test_a_killed_run_does_not_go_on_with_old_indices(commands: Commands, photos: Path, tmp_path: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    answer = commands.main(flags)
    [run] = commands.runs()
    (run / "summary.json").unlink()  # as if killed before the end
    before = contents(tmp_path / "result")
    shutil.copytree(photos, tmp_path / "old")
    replace_an_image(photos)
    refused(commands.main(flags), tmp_path, before)
    refused(commands.main(f"--resume {run}"), tmp_path, before)
    shutil.rmtree(photos)
    (tmp_path / "old").rename(photos)
    assert commands.main(flags).out == answer.out


def test_a_run_that_had_not_come_to_its_data_takes_what_is_there(commands: Commands, photos: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    commands.main(flags)
    [run] = commands.runs()
    for name in ("summary.json", "coreset.npz", "selection.json", "history.csv"):
        (run / name).unlink()
    replace_an_image(photos)
    assert commands.main(flags).status == 0


def test_a_condensation_and_its_evaluations(commands: Commands, photos: Path, tmp_path: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {CONDENSE}"
    assert commands.condense(flags).status == 0
    before = contents(tmp_path / "result")
    replace_an_image(photos)
    refused(commands.condense(flags), tmp_path, before)
    [folder] = (tmp_path / "result").glob("condensed_*")
    refused(commands.condense(f"--resume {folder}"), tmp_path, before)
    for path in (tmp_path / "result").iterdir():
        if path != folder:
            shutil.rmtree(path)
    (folder / "synthetic.npz").rename(folder / "checkpoint.pt")  # as if killed on the way
    refused(commands.condense(flags), tmp_path, contents(tmp_path / "result"))


def test_a_relative_folder_from_two_places(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("here", "there"):
        two_classes(tmp_path / place / "photos")
    replace_an_image(tmp_path / "there/photos")
    flags = f"--dataset ImageFolder --data_path photos {FLAGS}"
    monkeypatch.chdir(tmp_path / "here")
    assert commands.main(flags).status == 0
    before = contents(tmp_path / "result")
    monkeypatch.chdir(tmp_path / "there")
    refused(commands.main(flags), tmp_path, before)
    monkeypatch.chdir(tmp_path / "here")
    assert commands.main(flags).status == 0


def test_another_folder_that_is_not_in_the_run_s_name(commands: Commands, tmp_path: Path) -> None:
    for place in ("one", "two"):
        save_mnist(tmp_path / place)
    flags = f"--dataset MNIST {FLAGS}"
    first = commands.main(f"{flags} --data_path {tmp_path / 'one'}")
    assert commands.main(f"{flags} --data_path {tmp_path / 'two'}").out == first.out  # the same images elsewhere
    path = tmp_path / "two/MNIST/raw/t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    answer = commands.main(f"{flags} --data_path {tmp_path / 'two'}")
    assert "since then the test images (10, but others) have changed" in answer.error


def test_runs_of_earlier_versions_are_kept_and_go_on(commands: Commands, photos: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    answer = commands.main(flags)
    [run] = commands.runs()
    values = read_sealed(run / "config.json")
    for half in ("train_images", "test_images"):
        del values["run"]["data"][half]
    write_sealed(run / "config.json", values)
    assert commands.main(flags).out == answer.out
    (run / "summary.json").unlink()
    assert commands.main(f"--resume {run}").out == answer.out
    assert json.loads((run / "config.json").read_text())["run"]["data"]["train_images"].startswith("5-")


def test_a_second_seed_on_other_images_is_no_second_sample(commands: Commands, photos: Path, tmp_path: Path) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    commands.main(flags)
    replace_an_image(photos)
    assert commands.main(f"{flags} --seed 1").status == 0
    rows = load_table([tmp_path / "result"]).rows
    assert [row.seeds for row in rows] == [1, 1]
    assert all("train_images=5-" in row.settings for row in rows)
    assert "test_images" not in rows[0].settings
