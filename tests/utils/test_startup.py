"""Ctrl-C while a script imports torch ends in one line, whichever script it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils import startup

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    *("utils.report", "utils.export", "utils.comparison_sheet"),
    *("experiments.picks", "experiments.landscape.prediction"),
)
SCRIPTS = [*([path.name] for path in sorted(ROOT.glob("*.py"))), *(["-m", module] for module in MODULES)]


@pytest.fixture
def slow_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing torch says so and takes a minute."""
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[-1])
def test_ctrl_c_while_torch_is_imported_is_one_line(script: list[str], slow_torch: dict[str, str]) -> None:
    command = [sys.executable, *script, "--help"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=slow_torch,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == "interrupted before anything was begun\n"


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        startup.end_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        startup.end_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is startup._end
        startup.begin()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
