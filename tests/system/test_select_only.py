"""main.py --select_only: coresets for those who train elsewhere, and the runs that go on from there."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import FAST, Commands

from methods import Coreset
from utils.records.tables import load_table

FLAGS = f"{FAST} --epochs 1 --fraction 0.05 0.1"


def test_it_ends_with_the_coresets_and_says_where_they_are(commands: Commands) -> None:
    answer = commands.main(f"{FLAGS} --select_only")
    assert answer.status == 0
    folders = commands.runs()
    assert len(folders) == 2
    for folder in folders:
        count = len(Coreset.load(folder / "coreset.npz"))
        assert f"{folder / 'coreset.npz'}: {count} images, nothing was retrained" in answer.out.splitlines()
        assert not (folder / "history.csv").exists()
        summary = json.loads((folder / "summary.json").read_text())
        assert (summary["complete"], summary["retrained"], summary["selection"]) == (False, False, "LCMat")


def test_the_same_command_without_it_retrains_on_the_same_coresets(commands: Commands, monkeypatch) -> None:
    commands.main(f"{FLAGS} --select_only")
    before = {folder: (folder / "coreset.npz").read_bytes() for folder in commands.runs()}
    monkeypatch.setattr("experiments.selection.Selection.coreset", None)  # whatever selects now fails the test
    answer = commands.main(FLAGS)
    assert answer.status == 0, answer.err
    assert {folder: (folder / "coreset.npz").read_bytes() for folder in commands.runs()} == before
    assert all(json.loads((folder / "summary.json").read_text())["complete"] for folder in before)
    again = commands.main(f"{FLAGS} --select_only")
    assert again.status == 0
    assert "nothing was retrained" not in again.out
    assert all(json.loads((folder / "summary.json").read_text())["complete"] for folder in before)


def test_a_run_that_was_begun_is_not_said_to_be_selected_only(commands: Commands, monkeypatch) -> None:
    def interrupted(self, *_):
        self._save()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("utils.training.trainer.Training._close_epoch", interrupted)
        assert commands.main(f"{FLAGS} --selection Uniform").status == 130
    [folder] = commands.runs()
    answer = commands.main(f"{FAST} --epochs 1 --fraction 0.05 --selection Uniform --select_only")
    assert answer.status == 0
    assert "nothing was retrained" not in answer.out
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "summary.json").exists()


def test_it_selects_by_given_features_without_any_training(commands: Commands, monkeypatch) -> None:
    commands.main(f"{FLAGS} --save_features --select_only", "saved")
    [file] = (commands.folder / "saved" / "features").glob("*.npz")
    monkeypatch.setattr("utils.training.trainer.Training.run", None)  # whatever trains now fails the test
    assert commands.main(f"{FLAGS} --features {file} --select_only").status == 0
    for first, second in zip(commands.runs(save_path="saved"), commands.runs(), strict=True):
        picks = [Coreset.load(folder / "coreset.npz").indices for folder in (first, second)]
        assert np.array_equal(*picks)


def test_tables_count_selections_and_leave_them_out(commands: Commands) -> None:
    commands.main(f"{FLAGS} --select_only")
    path = commands.folder / "result"
    with pytest.raises(ValueError, match=r"0 failed, 0 unfinished, 2 selected and not retrained"):
        load_table([path])
    commands.main(f"{FAST} --epochs 1 --fraction 0.05 --selection Uniform")
    table = load_table([path])
    assert [row.label for row in table.rows] == ["Uniform"]
    assert "Left out: 0 failed, 0 unfinished, 2 selected and not retrained." in table.markdown()


def test_the_cross_script_trains_on_what_was_only_selected(commands: Commands) -> None:
    commands.main(f"{FAST} --epochs 1 --fraction 0.05 --select_only")
    [selected] = commands.runs()
    answer = commands.cross(f"{FAST} --epochs 1 --fraction 0.05 --selection LCMat --cross ConvNet")
    assert answer.status == 0, answer.err
    assert len(commands.runs("Digits_ConvNet_LCMat_*")) == 1
    assert json.loads((selected / "summary.json").read_text())["complete"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--coreset a.npz", "--select_only ends after a selection, and --coreset is selected already"),
        ("--resume result", "--select_only ends after a selection, and --resume goes on to the end"),
    ],
)
def test_what_selects_nothing_is_refused(commands: Commands, flags: str, said: str) -> None:
    assert said in commands.main(f"{FAST} --select_only {flags}").error
    assert "unknown flag '--select_only'" in commands.cross(f"{FAST} --select_only").error
