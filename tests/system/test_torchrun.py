"""main.py as torchrun starts it: in two processes that come to one record."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import FAST, Commands
from torchrun import torchrun

ROOT = Path(__file__).resolve().parents[2]
FLAGS = f"{FAST} --selection LCMat --fraction 0.05 0.1 --workers 0"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder of runs that two processes made, and what they printed."""
    folder = tmp_path_factory.mktemp("torchrun")
    return folder, torchrun("main.py", *FLAGS.split(), "--save_path", str(folder))


def test_two_processes_print_and_record_once(shared):
    folder, done = shared
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("images, final accuracy") == 2
    assert done.stdout.count("| dataset |") == 1
    assert done.stderr.count("proxy MLP: ") == 1
    assert len(list((folder / "proxies").glob("*.pt"))) == 1
    summaries = [json.loads(path.read_text()) for path in folder.glob("*/summary.json")]
    assert [summary["complete"] for summary in summaries] == [True, True]
    assert all(summary["device"].startswith("2 × CPU") for summary in summaries)
    assert not list(folder.rglob("*checkpoint*"))
    assert not list(folder.rglob("*.damaged"))


def test_two_processes_come_to_what_one_comes_to(shared, commands: Commands):
    folder, _ = shared
    assert commands.main(FLAGS).status == 0
    for alone in commands.runs("Digits_*"):
        together = folder / alone.name
        indices = [np.load(path / "coreset.npz")["indices"] for path in (alone, together)]
        np.testing.assert_array_equal(*indices)
        one, two = (json.loads((path / "summary.json").read_text()) for path in (alone, together))
        assert two["final_accuracy"] == pytest.approx(one["final_accuracy"], abs=1)
        assert two["training_steps"] == one["training_steps"]


def test_a_second_call_keeps_what_is_finished(shared, commands: Commands):
    folder, first = shared
    again = commands.main(FLAGS, save_path=str(folder))
    assert again.status == 0
    assert again.out == first.stdout
