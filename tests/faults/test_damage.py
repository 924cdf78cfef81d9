"""A file cut short or with a bit flipped is noticed, named and set aside, and the work done again from the rest."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attempts import attempt
from fault_points import moment_in
from outcomes import litter, outcome
from reference_runs import Undisturbed

from utils.data.coreset import Coreset
from utils.records.run_folder import find_runs
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.history import read_history

KILLED = {
    "proxy": ("utils/training/trainer.py:_step", 0.5),
    "selection": ("methods/select.py:select_nested", 1.0),
    "retraining": ("utils/training/trainer.py:_step", 1.0),
}


@pytest.fixture(scope="module")
def states(told: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is on the disk when the run is killed in each of its stages, and when it is finished."""
    folder = tmp_path_factory.mktemp("states")
    for name, (function, part) in KILLED.items():
        moment = moment_in(told.visits, function, signal.SIGKILL, part)
        ended = attempt(f"{told.command} --checkpoint_interval 0 --save_path {folder / name}", moment)
        assert ended.status == -signal.SIGKILL
    assert attempt(f"{told.command} --save_path {folder / 'finished'}").status == 0
    return folder


def flipped(content: bytes, position: float, bit: int) -> bytes:
    changed = bytearray(content)
    changed[int(position * (len(content) - 1))] ^= 1 << bit
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "a bit flipped": lambda content: flipped(content, 0.02, 0),
    "zeroed": lambda content: content[:-64] + bytes(64),
}
DAMAGED = [
    ("proxy", "proxies/*.checkpoint"),
    ("proxy", "*/config.json"),
    ("selection", "proxies/*.pt"),
    ("retraining", "*/checkpoint.pt"),
    ("retraining", "*/coreset.npz"),
    ("retraining", "*/selection.json"),
    ("finished", "*/config.json"),
    ("finished", "*/coreset.npz"),
    ("finished", "*/history.csv"),
    ("finished", "*/summary.json"),
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("state", "pattern"), DAMAGED)
def test_a_damaged_file(told: Undisturbed, states: Path, tmp_path: Path, state: str, pattern: str, damage: str) -> None:
    save_path = tmp_path / "result"
    shutil.copytree(states / state, save_path)
    [file] = save_path.glob(pattern)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    ended = attempt(f"{told.command} --save_path {save_path}")
    assert ended.status == 0, ended.err
    assert outcome(save_path) == told.outcome
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert file.name in warnings[0]
    assert all("set aside as" in line for line in warnings)
    assert len(list(save_path.rglob("*.damaged"))) == len(warnings)
    assert not litter(save_path, set_aside=True)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "history.csv"])
def test_a_flipped_bit_in_a_finished_run_passes_nowhere(states: Path, tmp_path: Path, name: str) -> None:
    """Unless it changes no value, as 1E-05 for 1e-05."""
    [sound] = find_runs(states / "finished")
    folder = tmp_path / sound.path.name
    shutil.copytree(sound.path, folder)
    content = (folder / name).read_bytes()
    passed = 0
    for place in range(0, len(content), 5):
        (folder / name).write_bytes(flipped(content, place / (len(content) - 1), place % 8))
        for run in find_runs(tmp_path):
            passed += 1
            assert (run.config, run.summary) == (sound.config, sound.summary)
            assert read_history(folder / "history.csv") == read_history(sound.path / "history.csv")
    assert passed <= 3


def test_a_proxy_of_something_else_is_set_aside(told: Undisturbed, states: Path, tmp_path: Path) -> None:
    """Though its checksum is right."""
    shutil.copytree(states / "selection", tmp_path / "result")
    [proxy] = (tmp_path / "result").glob("proxies/*.pt")
    state = load_checkpoint(proxy, "cpu")
    assert state is not None
    for changed in ({}, {**state, "network": {}}, {**state, "observer": None}, {**state, "outcome": {"history": [1]}}):
        save_checkpoint(proxy, changed)
        ended = attempt(f"{told.command} --save_path {tmp_path / 'result'}")
        assert ended.status == 0, ended.err
        assert f"{proxy.name} is not this proxy" in ended.err
        assert outcome(tmp_path / "result") == told.outcome
        for run in (tmp_path / "result").glob("Digits*"):
            shutil.rmtree(run)


def test_a_coreset_of_something_else_is_refused(told: Undisturbed, states: Path, tmp_path: Path) -> None:
    shutil.copytree(states / "retraining", tmp_path / "result")
    [coreset] = (tmp_path / "result").glob("*/coreset.npz")
    Coreset(np.array([5000])).save(coreset)
    assert "names sample 5000" in attempt(f"{told.command} --save_path {tmp_path / 'result'}").error


def test_features_that_are_damaged_are_refused(told: Undisturbed, tmp_path: Path) -> None:
    assert attempt(f"{told.command} --save_features --save_path {tmp_path / 'result'}").status == 0
    [features] = (tmp_path / "result").glob("features/*.npz")
    content = features.read_bytes()
    for damage in DAMAGES.values():
        features.write_bytes(damage(content))
        command = f"{told.command} --features {features} --save_path {tmp_path / 'again'}"
        assert features.name in attempt(command).error
