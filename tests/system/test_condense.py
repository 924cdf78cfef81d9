"""condense.py as a person calls it, and what the other scripts make of its synthetic sets."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import FAST, Commands

from utils.config import SelectionConfig
from utils.data.synthetic_set import SyntheticSet
from utils.records.run_folder import find_runs
from utils.training.checkpoint import save_checkpoint

TRAINING = "--dataset Digits --model MLP --epochs 30 --lr 0.05 --num_eval 1"
QUICK = f"{TRAINING} --real_batch 16 --iterations 2"


def synthetic_paths(commands: Commands, pattern: str = "condensed_*", save_path: str = "result") -> list[Path]:
    return sorted((commands.folder / save_path).glob(f"{pattern}/synthetic.npz"))


@pytest.mark.parametrize("ipc", [1, 2])
@pytest.mark.parametrize(("method", "label"), [("LCMat", "LCMat-C"), ("DC", "DC"), ("DSA", "DSA"), ("DM", "DM")])
def test_a_condensation_from_images_to_table(commands, method, label, ipc):
    answer = commands.condense(f"{QUICK} --method {method} --ipc {ipc} --outer 2 --inner 1")
    assert answer.status == 0, answer.err
    [path] = synthetic_paths(commands)
    synthetic = SyntheticSet.load(path)
    assert synthetic.images.shape == (10 * ipc, 1, 8, 8)
    assert np.bincount(synthetic.labels).tolist() == [ipc] * 10
    assert synthetic.method == label
    assert {each.name for each in path.parent.iterdir()} == {
        *(".lock", "condensation.json", "history.csv", "synthetic.npz", "synthetic.png")
    }
    assert len((path.parent / "history.csv").read_text().splitlines()) == 3
    [run] = find_runs(commands.folder / "result")
    assert run.summary is not None
    assert (run.summary.selection, run.summary.coreset_size, run.summary.seed) == (label, 10 * ipc, 0)
    assert run.summary.seconds["selection"] > 0
    assert "iterations/s" in answer.out
    assert "MB" in answer.out
    row = next(line for line in answer.out.splitlines() if line.startswith("| Digits"))
    assert f"| {label}" in row
    assert f"{run.summary.final_accuracy:.2f}" in row


def test_what_is_finished_is_kept(commands, monkeypatch):
    first = commands.condense(f"{QUICK} --num_exp 2 --num_eval 2 --cross ConvNet --epochs 2")
    assert first.status == 0, first.err
    assert len(synthetic_paths(commands)) == 2
    assert len(commands.runs("Digits_*")) == 8
    before = {path: path.read_bytes() for path in (commands.folder / "result").rglob("*") if path.is_file()}
    for work in ("condensation.learning.Condensation.run", "utils.training.trainer.Training.run"):
        monkeypatch.setattr(work, None)  # whatever works now fails the test
    again = commands.condense(f"{QUICK} --num_exp 2 --num_eval 2 --cross ConvNet --epochs 2")
    assert again.status == 0, again.err
    assert {path: path.read_bytes() for path in (commands.folder / "result").rglob("*") if path.is_file()} == before
    assert again.out.splitlines()[-5:] == first.out.splitlines()[-5:]


@pytest.mark.parametrize("checkpoints", [1, 3, 5])
def test_ctrl_c_in_the_middle(commands, monkeypatch, checkpoints):
    flags = f"{QUICK} --method LCMat --ipc 2 --outer 3 --inner 1 --checkpoint_interval 0"
    assert commands.condense(flags, "undisturbed").status == 0
    saved = []

    def save(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        saved.append(path)
        if len(saved) == checkpoints:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("utils.training.checkpoint.save_checkpoint", save)
        assert commands.condense(flags).status == 130
    assert not synthetic_paths(commands)
    assert [path.name for path in saved[0].parent.glob("synthetic.png")]
    assert commands.condense(flags).status == 0
    for name in ("condensed_*/synthetic.npz", "condensed_*/history.csv", "Digits_*/history.csv"):
        [ended], [undisturbed] = ((commands.folder / place).glob(name) for place in ("result", "undisturbed"))
        assert ended.read_bytes() == undisturbed.read_bytes()
    assert not saved[0].exists()


def test_an_evaluation_of_another_set_is_not_taken_for_this_one(commands):
    assert commands.condense(QUICK).status == 0
    [path] = synthetic_paths(commands)
    [run] = commands.runs("Digits_*")
    (run / "coreset.npz").unlink()
    SyntheticSet(SyntheticSet.load(path).images + 1, SyntheticSet.load(path).labels).save(run / "coreset.npz")
    assert "another set of images" in commands.condense(QUICK).error


def test_diverging_pixels(commands):
    assert "--pixel_lr" in commands.condense(f"{QUICK} --method DM --pixel_lr 1e38 --iterations 9 --num_eval 0").error


def test_a_damaged_set_is_made_again(commands):
    assert commands.condense(f"{QUICK} --num_eval 0").status == 0
    [path] = synthetic_paths(commands)
    content = SyntheticSet.load(path)
    path.write_bytes(b"damaged")
    answer = commands.condense(f"{QUICK} --num_eval 0")
    assert answer.status == 0
    assert "does not stand" in answer.err
    assert np.array_equal(SyntheticSet.load(path).images, content.images)


def test_one_image_per_class_with_variance_says_so(commands):
    answer = commands.condense(f"{QUICK} --num_eval 0 --method LCMat")
    assert "note: " in answer.err
    assert "zero" in answer.err
    assert "--curvature diagonal" in answer.err
    assert "zero" not in commands.condense(f"{QUICK} --num_eval 0 --method LCMat --curvature diagonal").err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--ipc 0", "--ipc"),
        ("--ipc 200", "--init noise"),
        ("--method DCC", "DC"),
        ("--model MPL", "MLP"),
        ("--dataset Digitz", "Digits"),
        ("--rho -1", "--rho"),
        ("--curvature hessian", "diagonal"),
        ("--init reals", "real"),
        ("--strategy colour", "color"),
        ("--pixel_lr 0", "--pixel_lr"),
        ("--distance l2", "squared"),
        ("--iterations 0", "--iterations"),
        ("--fraction 0.1", "--fraction"),
        ("--resume nowhere", "nowhere"),
    ],
)
def test_bad_flags(commands, flags, said):
    assert said in commands.condense(f"{QUICK} --num_eval 0 {flags}").error
    assert not synthetic_paths(commands)


def test_flags_without_effect_are_named(commands):
    err = commands.condense(f"{QUICK} --num_eval 0 --method DM --rho 2 --outer 3 --val_ratio 0.1").err
    for name in ("rho", "outer", "val_ratio"):
        assert f"--{name} " in err


def test_resume_by_name(commands):
    assert commands.condense(f"{QUICK} --num_eval 0 --method DSA").status == 0
    [path] = synthetic_paths(commands)
    answer = commands.condense(f"{TRAINING} --resume {path.parent}")
    assert answer.status == 0, answer.err
    assert len(commands.runs("Digits_MLP_DSA_*")) == 1
    renamed = path.parent.rename(path.parent.with_name("renamed"))
    assert "renamed" in commands.condense(f"{TRAINING} --resume {renamed}").error


def test_selected_and_condensed_sets_in_one_table(commands):
    assert commands.condense(f"{QUICK} --num_eval 0 --method DM --ipc 2").status == 0
    [path] = synthetic_paths(commands)
    flags = "--dataset Digits --model MLP --epochs 4 --test_interval 0 --lr 0.05"
    assert commands.main(f"{flags} --selection Uniform --fraction 0.013908").status == 0
    answer = commands.main(f"{flags} --coreset {path} --num_eval 2 --cross ConvNet")
    assert answer.status == 0, answer.err
    runs = [run for run in find_runs(commands.folder / "result") if run.config.selection.method == "DM"]
    assert len(runs) == 4
    for run in runs:
        assert run.summary is not None
        assert (run.summary.coreset_size, run.config.size.amount) == (20, 0.013908)
        assert run.config.selection.model == "MLP"
        assert SyntheticSet.load(run.path / "coreset.npz").digest() == SyntheticSet.load(path).digest()
    assert commands.main(f"{flags} --coreset {path} --num_eval 2 --cross ConvNet").out == answer.out


def test_a_synthetic_file_from_elsewhere(commands, tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8), np.arange(10)
    SyntheticSet(images, labels, SelectionConfig("Mine")).save(tmp_path / "mine.npz")
    answer = commands.main(f"{FAST} --coreset {tmp_path / 'mine.npz'}")
    assert answer.status == 0, answer.err
    [folder] = commands.runs("Digits_MLP_Mine_*")
    assert json.loads((folder / "summary.json").read_text())["coreset_size"] == 10
    (folder / "summary.json").unlink()
    assert commands.main(f"--resume {folder}").status == 0
    assert not list(folder.glob("*.damaged"))
    assert json.loads((folder / "summary.json").read_text())["complete"] is True


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [((10, 3, 8, 8), 10, "channels"), ((10, 1, 8, 8), 11, "classes"), ((10, 8, 8), 10, "[m, C, H, W]")],
)
def test_a_synthetic_file_that_does_not_fit(commands, tmp_path, images, labels, said):
    np.savez(tmp_path / "mine.npz", images=np.zeros(images, np.uint8), labels=np.arange(10) + labels - 10)
    assert said in commands.main(f"{FAST} --coreset {tmp_path / 'mine.npz'}").error
    assert not list(commands.folder.rglob("summary.json"))


def test_what_needs_selected_images_is_refused(commands, tmp_path):
    SyntheticSet(np.full((10, 1, 8, 8), 99, np.uint8), np.arange(10)).save(tmp_path / "mine.npz")
    assert "--after_analyses" in commands.main(f"{FAST} --coreset {tmp_path / 'mine.npz'} --after_analyses").error


def test_the_cross_matrix_takes_synthetic_sets(commands, tmp_path):
    assert commands.condense(f"{QUICK} --method DM").status == 0
    [path] = synthetic_paths(commands)
    given = commands.cross(f"{FAST} --coreset {path} --cross ConvNet --epochs 1", "given")
    assert given.status == 0, given.err
    found = commands.cross(f"--dataset Digits --model MLP --cross ConvNet --epochs 1 --save_path {tmp_path / 'result'}")
    assert found.status == 0, found.err
    for answer in (given, found):
        assert "DM" in answer.out.split("final accuracy (%) of each trained network")[1]
