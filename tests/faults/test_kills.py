"""Killed at any moment and started again, a run ends with the result that it would have had."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from attempts import attempt
from fault_points import Moment, moment_in
from outcomes import litter, outcome
from reference_runs import COMMANDS, Undisturbed, story

from utils.training.checkpoint import load_checkpoint


@pytest.mark.parametrize("name", ["LCMat", "ConvNet", "GraNd", "Forgetting"])
def test_killed_at_random_moments(tmp_path: Path, name: str) -> None:
    told = Undisturbed.of(COMMANDS[name], tmp_path)
    dice = random.Random(f"killed {name}")
    kills = chapters = 0
    while kills < 6:
        for disturbed in story(told, tmp_path / f"{(chapters := chapters + 1)}", dice, (signal.SIGKILL,)):
            assert disturbed.ended.status == -signal.SIGKILL, disturbed
            kills += 1


def test_ctrl_c_and_sigterm_at_random_moments(tmp_path: Path) -> None:
    told = Undisturbed.of(COMMANDS["LCMat"], tmp_path)
    dice = random.Random("interrupted")
    interruptions = chapters = 0
    while interruptions < 8:
        folder = tmp_path / f"{(chapters := chapters + 1)}"
        for disturbed in story(told, folder, dice, (signal.SIGINT, signal.SIGTERM)):
            assert isinstance(disturbed.by, Moment)
            assert disturbed.ended.status == 128 + disturbed.by.number, disturbed
            assert "Traceback" not in disturbed.ended.err
            assert not [path for path in litter(folder) if path.endswith(".tmp")]
            interruptions += 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("function", "part", "stands"),
    [
        ("utils/training/trainer.py:_step", 0.5, (0, 3)),
        ("utils/training/trainer.py:_step", 1.0, (1, 3)),
        ("utils/training/evaluation.py:evaluate", 1.0, (1, 3)),
    ],
    ids=["step", "last step", "last test"],
)
def test_an_interrupted_training_writes_its_checkpoint(
    uniform: Undisturbed, tmp_path: Path, number: int, function: str, part: float, stands: tuple[int, int]
) -> None:
    """Though none is due for an hour."""
    command = f"{uniform.command} --save_path {tmp_path} --checkpoint_interval 3600"
    ended = attempt(command, moment_in(uniform.visits, function, number, part))
    assert ended.status == 128 + number
    [checkpoint] = tmp_path.glob("*/checkpoint.pt")
    state = load_checkpoint(checkpoint, "cpu")
    assert state is not None
    assert (state["position"]["epoch"], state["position"]["step"]) == stands
    assert attempt(command).status == 0
    assert outcome(tmp_path) == uniform.outcome


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_proxy_writes_its_checkpoint(told: Undisturbed, tmp_path: Path, number: int) -> None:
    command = f"{told.command} --save_path {tmp_path} --checkpoint_interval 3600"
    ended = attempt(command, moment_in(told.visits, "utils/training/trainer.py:_step", number, 0.5))
    assert ended.status == 128 + number
    [checkpoint] = tmp_path.glob("proxies/*.checkpoint")
    state = load_checkpoint(checkpoint, "cpu")
    assert state is not None
    assert state["position"]["step"] > 0
    assert attempt(command).status == 0
    assert outcome(tmp_path) == told.outcome
