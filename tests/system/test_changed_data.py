"""A result belongs to its data: where the images have changed, one line says so and nothing old is touched."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Answer, Commands
from made_images import save_image, save_mnist, two_classes

from experiments import picks
from methods import Coreset
from utils.cli import run_main
from utils.errors import UserError
from utils.records import export
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


@pytest.mark.parametrize("left", [("config.json",), ("config.json", "coreset.npz", "selection.json")])
def test_a_run_on_a_folder_that_moved_is_resumed_by_its_new_place(
    commands: Commands, photos: Path, others: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    flags = f"--dataset ImageFolder --data_path {photos} {FLAGS}"
    commands.main(flags)
    [run] = commands.runs()
    expected, recorded = Coreset.load(run / "coreset.npz").digest(), read_sealed(run / "config.json")["run"]
    for path in run.iterdir():
        if path.name not in left:
            path.unlink()
    photos.rename(tmp_path / "moved")
    assert commands.main(f"--resume {run}").status == 2
    assert f"{run} is of other data" in commands.main(f"--resume {run} --data_path {others}").error
    assert commands.main(f"--resume {run} --data_path {tmp_path / 'moved'}").status == 0
    assert commands.runs() == [run]
    assert Coreset.load(run / "coreset.npz").digest() == expected
    assert read_sealed(run / "config.json")["run"] == recorded


def test_a_run_of_an_earlier_version_is_not_resumed_from_a_folder_of_another_name(
    commands: Commands, photos: Path, tmp_path: Path
) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    [run] = commands.runs()
    values = read_sealed(run / "config.json")
    for half in ("train_images", "test_images"):
        del values["run"]["data"][half]
    write_sealed(run / "config.json", values)
    photos.rename(tmp_path / "moved")
    assert (
        "does not say of which images it is" in commands.main(f"--resume {run} --data_path {tmp_path / 'moved'}").error
    )


def test_a_condensation_of_a_folder_that_moved_is_resumed_by_its_new_place(
    commands: Commands, photos: Path, others: Path, tmp_path: Path
) -> None:
    flags = f"--data_path {photos} --dataset ImageFolder --model MLP --method DM --ipc 1 --iterations 2 --num_eval 0"
    assert commands.condense(flags).status == 0
    [folder] = (tmp_path / "result").glob("condensed_*")
    photos.rename(tmp_path / "moved")
    assert f"{folder} is of other data" in commands.condense(f"--resume {folder} --data_path {others}").error
    again = commands.condense(f"--resume {folder} --data_path {tmp_path / 'moved'} --num_eval 1 --eval_epochs 1")
    assert again.status == 0, again.err


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


REFUSED = "was made of other images than ImageFolder has at"


@pytest.fixture
def others(photos: Path, tmp_path: Path) -> Path:
    """The same photographs, but for one."""
    shutil.copytree(photos, tmp_path / "others")
    replace_an_image(tmp_path / "others")
    return tmp_path / "others"


@pytest.mark.parametrize("script", ["main", "cross"])
def test_a_coreset_is_refused_on_other_images(
    commands: Commands, photos: Path, others: Path, tmp_path: Path, script: str
) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    [run] = commands.runs()
    shutil.copyfile(run / "coreset.npz", tmp_path / "mine.npz")
    call = getattr(commands, script)
    flags = f"--model MLP --cross LeNet --im_size 28 --epochs 1 --batch 4 --coreset {tmp_path / 'mine.npz'}"
    answer = call(f"--dataset ImageFolder --data_path {others} {flags}", save_path="new")
    assert f"{tmp_path / 'mine.npz'} {REFUSED} {others}" in answer.error
    assert not (tmp_path / "new").exists()
    assert call(f"--dataset ImageFolder --data_path {photos} {flags}", save_path="new").status == 0


@pytest.mark.parametrize("form", ["npz", "csv", "json", "folder"])
def test_an_exported_coreset_is_refused_on_other_images(
    commands: Commands, photos: Path, others: Path, tmp_path: Path, form: str
) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    [run] = commands.runs()
    made = tmp_path / ("mine" if form == "folder" else f"mine.{form}")
    export.main([str(run), "--format", form, "--output", str(made)])
    flags = f"--model MLP --im_size 28 --epochs 1 --batch 4 --coreset {made}"
    assert REFUSED in commands.main(f"--dataset ImageFolder --data_path {others} {flags}", "new").error
    answer = commands.main(f"--dataset ImageFolder --data_path {photos} {flags}", "new")
    assert answer.status == 0
    assert "does not say of which images" not in answer.err


def test_a_coreset_from_elsewhere_is_taken_with_one_note(commands: Commands, photos: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", indices=np.array([0, 4]))
    flags = f"--model MLP --epochs 1 --batch 4 --num_exp 2 --coreset {tmp_path / 'mine.npz'}"
    answer = commands.main(f"--dataset ImageFolder --data_path {photos} {flags}")
    said = f"note: {tmp_path / 'mine.npz'} does not say of which images it was made; taken to be of ImageFolder"
    assert answer.err.splitlines().count(said) == 1


def test_the_cross_script_finds_no_coreset_of_another_folder(commands: Commands, photos: Path, others: Path) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    asked = "--model MLP --cross MLP --epochs 1 --batch 4"
    assert "no finished run" in commands.cross(f"--dataset ImageFolder --data_path {others} {asked}").error
    replace_an_image(photos)
    assert "is of other data" in commands.cross(f"--dataset ImageFolder --data_path {photos} {asked}").error


def test_a_synthetic_set_is_refused_on_other_images(commands: Commands, photos: Path, others: Path) -> None:
    commands.condense(f"--dataset ImageFolder --data_path {photos} {CONDENSE} --num_eval 0")
    [folder] = (commands.folder / "result").glob("condensed_*")
    flags = f"--model MLP --epochs 1 --batch 4 --coreset {folder / 'synthetic.npz'}"
    assert REFUSED in commands.main(f"--dataset ImageFolder --data_path {others} {flags}").error
    assert commands.main(f"--dataset ImageFolder --data_path {photos} {flags}").status == 0


def test_features_are_refused_on_other_images(commands: Commands, photos: Path, others: Path) -> None:
    flags = f"{FLAGS} --selection LCMat -se 1 --selection_batch 4"
    commands.main(f"--dataset ImageFolder --data_path {photos} {flags} --save_features")
    [features] = (commands.folder / "result/features").glob("*.npz")
    flags += f" --features {features}"
    assert REFUSED in commands.main(f"--dataset ImageFolder --data_path {others} {flags}", save_path="new").error
    answer = commands.main(f"--dataset ImageFolder --data_path {photos} {flags}", save_path="new")
    assert (answer.status, "does not say" in answer.err) == (0, False)


@pytest.mark.parametrize("form", ["npz", "csv"])
def test_scores_are_refused_on_other_images(
    commands: Commands, photos: Path, others: Path, tmp_path: Path, form: str
) -> None:
    flags = "--dataset ImageFolder --model MLP --selection AUM -se 1 --batch 4 --epochs 1 --fraction 0.5"
    assert commands.main(f"{flags} --data_path {photos}").status == 0
    [run] = commands.runs()
    export.main([str(run), "--format", "scores", "--output", str(tmp_path / f"mine.{form}")])
    given = f"{flags} --scores {tmp_path / f'mine.{form}'}"
    assert REFUSED in commands.main(f"{given} --data_path {others}", "new").error
    assert commands.main(f"{given} --data_path {photos}", "new").status == 0


def test_features_from_elsewhere_are_taken_with_a_note(commands: Commands, photos: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.savez(tmp_path / "f.npz", embeddings=values, logits=values[:, :2], labels=np.array([0, 0, 0, 1, 1]))
    flags = f"{FLAGS} --selection LCMat --features {tmp_path / 'f.npz'}"
    answer = commands.main(f"--dataset ImageFolder --data_path {photos} {flags}")
    assert (answer.status, f"note: {tmp_path / 'f.npz'} does not say" in answer.err) == (0, True)


def test_a_coreset_that_another_took_the_place_of_is_refused(
    commands: Commands, photos: Path, others: Path, tmp_path: Path
) -> None:
    for folder, save_path in ((photos, "result"), (others, "new")):
        commands.main(f"--dataset ImageFolder --data_path {folder} {FLAGS}", save_path=save_path)
    [run], [other] = commands.runs(), commands.runs(save_path="new")
    (run / "summary.json").unlink()
    shutil.copyfile(other / "coreset.npz", run / "coreset.npz")
    assert REFUSED in commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}").error


def test_an_export_of_other_images_is_refused(
    commands: Commands, photos: Path, others: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    [run] = commands.runs()
    shutil.copyfile(run / "coreset.npz", tmp_path / "mine.npz")
    for source in ([str(run)], [str(tmp_path / "mine.npz"), "--dataset", "ImageFolder"]):
        arguments = [*source, "--format", "folder", "--output", str(tmp_path / "out")]
        assert run_main(lambda given=arguments: export.main([*given, "--data_path", str(others)])) == 2  # type: ignore[misc]
        assert REFUSED in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
        export.main([*arguments, "--data_path", str(photos)])
        shutil.rmtree(tmp_path / "out")


def test_a_coreset_names_what_its_indices_stand_for(commands: Commands, photos: Path, tmp_path: Path) -> None:
    commands.main(f"--dataset ImageFolder --data_path {photos} {FLAGS}")
    [run] = commands.runs()
    arrays = np.load(run / "coreset.npz")
    listed = sorted(str(path.relative_to(photos)) for path in (photos / "train").glob("*/*"))
    assert arrays["files"].tolist() == [listed[index] for index in arrays["indices"]]
    assert arrays["class_names"].tolist() == ["cat", "dog"]
    assert [f"train/{arrays['class_names'][label]}" for label in arrays["labels"]] == [
        str(Path(name).parent) for name in arrays["files"].tolist()
    ]
    assert str(arrays["train_images"]).startswith("5-")
    shutil.rmtree(photos)  # the names need no data
    export.main([str(run), "--format", "csv", "--output", str(tmp_path / "c.csv")])
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == arrays["files"].tolist()
    assert [row["class"] for row in rows] == [Path(name).parent.name for name in arrays["files"].tolist()]
    export.main([str(run), "--format", "json", "--output", str(tmp_path / "c.json")])
    assert json.loads((tmp_path / "c.json").read_text())["files"] == arrays["files"].tolist()
    export.main([str(run), "--format", "npz", "--output", str(tmp_path / "c.npz")])
    assert Coreset.load(tmp_path / "c.npz").train_images == str(arrays["train_images"])


def test_images_in_memory_have_the_names_of_their_classes(commands: Commands, tmp_path: Path) -> None:
    commands.main("--dataset Digits --model MLP --selection Uniform --fraction 0.01 --epochs 1")
    origin = Coreset.load(commands.runs()[0] / "coreset.npz").origin
    assert origin is not None
    assert origin.class_names == tuple("0123456789")
    assert origin.classes == [str(label) for label in origin.labels]
    assert origin.files is None


def test_runs_are_not_looked_at_on_other_images(commands: Commands, photos: Path, others: Path) -> None:
    proxy = "--dataset ImageFolder --model MLP --selection LCMat -se 1 --selection_batch 4 --fraction 0.5"
    commands.main(f"{proxy} --data_path {photos} --epochs 1 --batch 4")
    [run] = commands.runs()
    answer = commands.landscape(f"{proxy} --data_path {others} --points 3 --coreset {run / 'coreset.npz'}", "new")
    assert REFUSED in answer.error
    replace_an_image(photos)
    assert REFUSED in commands.landscape(f"--runs {run} --points 3", save_path="new").error
    with pytest.raises(UserError, match=REFUSED):
        picks.main([str(run)])
