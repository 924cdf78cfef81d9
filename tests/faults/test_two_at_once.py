"""Several processes in one save path, on the same runs or others, come to what each would have come to alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attempts import Attempt, attempt
from fault_points import moment_in
from outcomes import litter, outcome
from reference_runs import SMALL, Undisturbed

LCMAT = f"main.py {SMALL}"
OTHERS = (f"main.py {SMALL} --selection Forgetting", f"main.py {SMALL} --fraction 0.1 0.05 --epochs 3")
_PATIENCE = 60.0  # seconds


def test_the_same_command_twice(told: Undisturbed, tmp_path: Path) -> None:
    attempts = [Attempt(f"{LCMAT} --checkpoint_interval 0 --save_path {tmp_path}") for _ in range(3)]
    for ended in [each.wait() for each in attempts]:
        assert ended.status == 0, ended.err
    assert outcome(tmp_path) == told.outcome
    assert not litter(tmp_path)


def test_runs_that_share_a_proxy(told: Undisturbed, tmp_path: Path) -> None:
    expected = dict(told.outcome)
    for number, command in enumerate(OTHERS):
        assert attempt(f"{command} --save_path {tmp_path / str(number)}").status == 0
        expected |= outcome(tmp_path / str(number))
    together = tmp_path / "together"
    attempts = [Attempt(f"{command} --checkpoint_interval 0 --save_path {together}") for command in (*OTHERS, LCMAT)]
    for ended in [each.wait() for each in attempts]:
        assert ended.status == 0, ended.err
    assert outcome(together) == expected
    assert not litter(together)
    assert len(list(together.glob("proxies/*.pt"))) == 1


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("stage", ["proxy", "retraining"])
@pytest.mark.parametrize("then", [signal.SIGKILL, signal.SIGCONT])
def test_a_second_process_waits_for_the_first(
    told: Undisturbed, tmp_path: Path, stage: str, then: signal.Signals
) -> None:
    """Which is stopped in the middle, and then killed, or goes on and finishes."""
    part = {"proxy": 0.3, "retraining": 1.0}[stage]
    moment = moment_in(told.visits, "utils/training/trainer.py:_step", signal.SIGSTOP, part)
    command = f"{LCMAT} --checkpoint_interval 0 --save_path {tmp_path}"
    with Attempt(command, moment) as first:
        wait_until(first.is_stopped)
        with Attempt(command) as second:
            wait_until(lambda: "waiting for" in second.read("err"))
            first.signal(then)
            ended = second.wait()
        assert first.wait().status == (0 if then == signal.SIGCONT else -signal.SIGKILL)
    assert ended.status == 0, ended.err
    assert outcome(tmp_path) == told.outcome
    assert not litter(tmp_path)
