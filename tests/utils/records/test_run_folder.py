"""What a run wrote is found again; what does not hold together is named and not believed."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_runs import finish_run, made_up_config, made_up_history, made_up_summary

from utils.config import digest
from utils.errors import UserError
from utils.files import write_json
from utils.records import provenance
from utils.records.run_folder import RunFolder, find_runs, read_run_config, run_path, unfinished_runs
from utils.records.summary import Summary
from utils.training.history import Epoch, best_accuracy, final_accuracy

CONFIG = made_up_config()
fuzz = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
number = st.floats(allow_nan=False)
epochs = st.builds(
    Epoch, st.integers(0, 10**6), number, number, number, st.none() | number, st.none() | st.floats(0, 100)
)


def test_a_complete_run(tmp_path: Path) -> None:
    folder = finish_run(tmp_path / "a" / "b", CONFIG, final=80.0, best=90.0)
    assert folder == tmp_path / "a" / "b" / CONFIG.name()
    names = {"config.json", "coreset.npz", "history.csv", "summary.json", ".lock"}
    assert {each.name for each in folder.iterdir()} == names
    summary = json.loads((folder / "summary.json").read_text())
    fixed = {
        "dataset": "Digits",
        "model": "MLP",
        "selection": "LCMat",
        "selection_model": "MLP",
        "fraction": 0.1,
        "seed": 0,
        "repeat": 0,
        "coreset_size": 3,
        "training_steps": 1200,
        "final_accuracy": 80.0,
        "best_accuracy": 90.0,
        "seconds": {"proxy": 0.0, "features": 0.0, "selection": 0.0, "training": 4.0},
        "peak_memory_bytes": 250_000_000,
        "device": "a made-up machine",
        "test_interval": 1,
        "complete": True,
    }
    assert fixed.items() <= summary.items()
    [found] = find_runs(tmp_path / "a" / "b")
    assert found.path == folder
    assert found.config == CONFIG
    assert found.failure is None
    assert found.summary == made_up_summary(CONFIG, 80.0, 90.0)
    assert find_runs(folder) == [found]
    with RunFolder(CONFIG, tmp_path / "a" / "b") as run:
        assert run.summary() == found.summary


def test_config_file_says_where_the_result_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["main.py", "--data_path", "my images"])
    with RunFolder(CONFIG, tmp_path) as run:
        values = json.loads((run.path / "config.json").read_text())
    assert values["run"] == CONFIG.as_dict()
    assert values["versions"].keys() == {"python", "torch", "torchvision", "numpy"}
    assert values["command"] == "main.py --data_path 'my images'"
    assert values["git_commit"] is None or len(values["git_commit"]) == 40
    assert read_run_config(run.path) == CONFIG


def test_no_commit_outside_of_the_codes_own_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_CODE", tmp_path)
    assert provenance.git_commit.__wrapped__() is None
    (tmp_path / ".git").mkdir()  # not a sound one
    assert provenance.git_commit.__wrapped__() is None


def test_locked_while_open(tmp_path: Path) -> None:
    def is_free() -> bool:
        with (run_path(CONFIG, tmp_path) / ".lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with RunFolder(CONFIG, tmp_path):
        assert not is_free()
    assert is_free()
    (run_path(CONFIG, tmp_path) / "config.json").write_text(json.dumps(config_file("Uniform")))
    with pytest.raises(UserError, match="other settings"), RunFolder(CONFIG, tmp_path):
        pass
    assert is_free()


def config_file(method: str) -> dict[str, object]:
    values = {"run": made_up_config(method).as_dict()}
    return {**values, "digest": digest(values)}


def test_a_folder_with_another_configuration_is_refused_and_kept(tmp_path: Path) -> None:
    path = run_path(CONFIG, tmp_path) / "config.json"
    write_json(path, config_file("Uniform"))
    content = path.read_bytes()
    refused = pytest.raises(
        UserError, match="holds a run with other settings; move it away or give another --save_path"
    )
    with refused, RunFolder(CONFIG, tmp_path):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["{", "[]", '{"run": {}}', "altered"])
def test_a_damaged_configuration_is_set_aside_and_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        path = run.path / "config.json"
    sound = path.read_text()
    path.write_text(sound.replace('"epochs": 2', '"epochs": 3') if damage == "altered" else damage)
    with RunFolder(CONFIG, tmp_path):
        assert path.read_text() == sound
        assert (path.parent / "config.json.damaged").exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_finished_run_keeps_its_provenance_and_an_unfinished_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> str:
        return str(json.loads((run_path(CONFIG, tmp_path) / "config.json").read_text())["command"])

    for words in ("first", "second"):
        monkeypatch.setattr("sys.argv", [words])
        with RunFolder(CONFIG, tmp_path):
            assert command() == words
    finish_run(tmp_path, CONFIG, final=80.0)
    monkeypatch.setattr("sys.argv", ["third"])
    with RunFolder(CONFIG, tmp_path):
        assert command() == "second"


def test_a_failed_run_is_marked_and_can_be_tried_again(tmp_path: Path) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        run.checkpoint_path.touch()
        run.fail("the loss became\nnan at epoch 3")
        assert run.summary() is None
        values = json.loads((run.path / "summary.json").read_text())
    assert values["complete"] is False
    assert values["failure"] == "the loss became nan at epoch 3"
    [found] = find_runs(tmp_path)
    assert found.summary is None
    assert found.failure == "the loss became nan at epoch 3"
    with RunFolder(CONFIG, tmp_path):
        assert find_runs(tmp_path) == []
        assert unfinished_runs(tmp_path) == [run.path]
    finish_run(tmp_path, CONFIG, final=80.0)
    assert [found.failure for found in find_runs(tmp_path)] == [None]
    assert unfinished_runs(tmp_path) == []


def test_finish_deletes_the_checkpoint_only_when_the_summary_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        run.checkpoint_path.write_bytes(b"state")
        run.write_history(made_up_history(80.0, 90.0))

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(UserError, match="No space left"):
                run.finish(made_up_summary(CONFIG, 80.0, 90.0))
        assert run.checkpoint_path.exists()
        assert run.read_history() == made_up_history(80.0, 90.0)
        run.finish(made_up_summary(CONFIG, 80.0, 90.0))
        assert not run.checkpoint_path.exists()


@pytest.mark.parametrize(
    ("summary", "complaint"),
    [
        (made_up_summary(CONFIG, 81.0, 90.0), "not those of the history"),
        (made_up_summary(replace(CONFIG, seed=1), 80.0, 90.0), "seed 1, the configuration 0"),
    ],
)
def test_finish_refuses_what_is_not_this_runs(tmp_path: Path, summary: Summary, complaint: str) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        run.write_history(made_up_history(80.0, 90.0))
        with pytest.raises(UserError, match=complaint):
            run.finish(summary)
        assert not (run.path / "summary.json").exists()


DAMAGES = {
    "summary cut": ("summary.json", lambda text: text[:100]),
    "summary altered": ("summary.json", lambda text: text.replace('"final_accuracy": 80.0', '"final_accuracy": 88.0')),
    "summary of another": ("summary.json", lambda text: text.replace('"seed": 0', '"seed": 1')),
    "summary without a phase": ("summary.json", lambda text: text.replace('"proxy"', '"prosy"')),
    "summary with a word for a number": ("summary.json", lambda text: text.replace("1200", '"many"')),
    "history cut": ("history.csv", lambda text: text[:-30]),
    "history altered": ("history.csv", lambda text: text.replace("80.0", "70.0")),
    "history without columns": ("history.csv", lambda text: text.replace("lr", "rl")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_does_not_hold_together_is_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    folder = finish_run(tmp_path, CONFIG, final=80.0, best=90.0)
    name, harm = DAMAGES[damage]
    sound = (folder / name).read_text()
    (folder / name).write_text(harm(sound))
    assert (folder / name).read_text() != sound
    assert find_runs(tmp_path) == []
    assert capsys.readouterr().err.startswith(f"warning: skipped {folder}: ")
    with RunFolder(CONFIG, tmp_path) as run:
        assert run.summary() is None
        assert run.summary() is None
    assert capsys.readouterr().err.count("\n") == 1
    assert (folder / "summary.json.damaged").exists()
    assert unfinished_runs(tmp_path) == [folder]


@pytest.mark.parametrize("missing", [False, True])
def test_a_run_without_its_coreset_is_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: bool
) -> None:
    folder = finish_run(tmp_path, CONFIG, final=80.0)
    coreset = folder / "coreset.npz"
    if missing:
        coreset.unlink()
    else:
        coreset.write_bytes(coreset.read_bytes()[:-40])
    with RunFolder(CONFIG, tmp_path) as run:
        assert not coreset.exists()
        assert run.summary() is None
    assert capsys.readouterr().err.count("\n") == 1 + (not missing)


def test_runs_are_found_by_content_not_by_name_and_strangers_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finish_run(tmp_path, CONFIG, final=80.0)
    folder.rename(tmp_path / "renamed by a person")
    write_json(tmp_path / "stranger" / "config.json", {"learning_rate": 1})
    write_json(tmp_path / "stranger" / "summary.json", {})
    (tmp_path / "proxy").mkdir()
    (tmp_path / "accuracy.png").touch()
    assert [run.config for run in find_runs(tmp_path)] == [CONFIG]
    [warning] = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: skipped {tmp_path / 'stranger'}: ")
    assert find_runs(tmp_path / "nowhere") == []


@fuzz
@given(rows=st.lists(epochs, max_size=5))
def test_history_comes_back_to_the_last_bit(tmp_path: Path, rows: list[Epoch]) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        run.write_history(rows)
        assert run.read_history() == rows


def test_history_columns_are_those_that_others_read(tmp_path: Path) -> None:
    with RunFolder(CONFIG, tmp_path) as run:
        assert run.read_history() == []
        run.write_history([Epoch(1, 0.1, 2.0, 10.0), Epoch(2, 0.05, 1.5, 20.5, 1.75, 30.25)])
        with (run.path / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    names = ["epoch", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert [list(row) for row in rows] == [names, names]
    assert list(rows[0].values()) == ["1", "0.1", "2.0", "10.0", "", ""]
    assert list(rows[1].values()) == ["2", "0.05", "1.5", "20.5", "1.75", "30.25"]


def test_final_is_the_last_test_and_best_the_highest() -> None:
    untested = Epoch(4, 0.1, 1.0, 50.0)
    history = [Epoch(epoch, 0.1, 1.0, 50.0, 1.0, accuracy) for epoch, accuracy in ((1, 70.0), (2, 75.0), (3, 72.0))]
    assert final_accuracy([*history, untested]) == 72.0
    assert best_accuracy([*history, untested]) == 75.0
    with pytest.raises(UserError, match="no test"):
        final_accuracy([untested])


@pytest.mark.parametrize(
    "change",
    [
        {"final_accuracy": math.nan},
        {"final_accuracy": 91.0},
        {"best_accuracy": 101.0},
        {"seconds": {"training": 1.0}},
        {"seconds": {"proxy": 0.0, "features": 0.0, "selection": math.inf, "training": 1.0}},
        {"images_per_second": {"training": -1.0}},
        {"coreset_size": -1},
    ],
)
def test_a_summary_refuses_impossible_numbers(change: dict[str, object]) -> None:
    values = made_up_summary(CONFIG, 80.0, 90.0).as_dict()
    assert Summary.from_dict(values).best_accuracy == 90.0
    with pytest.raises(UserError, match="not the summary"):
        Summary.from_dict(values | change)


@pytest.mark.parametrize("dataset", ["../elsewhere", "/tmp/elsewhere", "..", "a\0b", "a\nb", "~root/x", ".hidden"])
def test_a_name_cannot_leave_the_save_path(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(UserError, match="cannot name a folder"), RunFolder(made_up_config(dataset=dataset), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@given(dataset=st.text(), model=st.text(), method=st.text(min_size=1))
def test_no_name_leaves_the_save_path(dataset: str, model: str, method: str) -> None:
    try:
        folder = run_path(made_up_config(method, dataset=dataset, model=model), "result")
    except UserError:
        return
    assert folder.parent == Path("result")
    assert folder.name not in ("", ".", "..")


def test_a_save_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for save_path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write"), RunFolder(CONFIG, save_path):
            pass


def test_leftovers_of_a_killed_writer_go(tmp_path: Path) -> None:
    folder = run_path(CONFIG, tmp_path)
    folder.mkdir()
    (folder / ".checkpoint.pt.abc.tmp").touch()
    with RunFolder(CONFIG, tmp_path):
        assert {each.name for each in folder.iterdir()} == {".lock", "config.json"}
