"""Runs side by side: each GPU has its places, and a run goes where one is free."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERPRETER = """#!/usr/bin/env bash
case $* in
    -c*) echo 8 ;;
    *utils.report*) ;;
    *main.py*)
        [ "${*: -2:1}" = --gpu ] && GPU=${*: -1} || GPU=none
        echo "start $GPU $RUNS_AT_ONCE $OMP_NUM_THREADS" >> "$LOG"
        [[ $* == *LCMat* ]] && sleep 0.2 || sleep 0.05
        echo "end $GPU" >> "$LOG"
        [[ $* != *"--seed 1"* ]] ;;
esac
"""


def sweep(folder: Path, **settings: str) -> tuple[int, list[list[str]]]:
    """Run bash/sweep.sh with an interpreter that notes when each run starts and ends, and fails those of seed 1."""
    interpreter, log = folder / "python", folder / "log"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    given = {"DATASET": "Digits", "SELECTIONS": "LCMat Uniform", "SEEDS": "0 2 3", **settings}
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "GPU", "JOBS")}
    environment |= {"PYTHON": str(interpreter), "LOG": str(log), "SAVE_PATH": str(folder), **given}
    done = subprocess.run(["bash", "bash/sweep.sh"], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, [line.split() for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("devices", "jobs", "places"),
    [("0,1", "", (1, 1)), ("0,1", "2", (1, 1)), ("0,1", "4", (2, 2)), ("0,1", "3", (2, 1)), ("3", "2", (2,))],
)
def test_a_run_starts_on_a_gpu_that_is_free(tmp_path, devices, jobs, places):
    status, events = sweep(tmp_path, GPU=devices, JOBS=jobs)
    room = dict(zip(devices.split(","), places, strict=True))
    running: Counter[str] = Counter()
    most = 0
    for kind, gpu, *shares in events:
        running[gpu] += 1 if kind == "start" else -1
        assert 0 <= running[gpu] <= room[gpu]
        most = max(most, running.total())
        if shares:
            assert shares == [str(max(places)), str(8 // sum(places))]
    assert (status, len(events), most) == (0, 12, sum(places))


def test_without_gpus_none_is_named(tmp_path):
    assert {gpu for _, gpu, *_ in sweep(tmp_path, JOBS="3")[1]} == {"none"}


@pytest.mark.parametrize("jobs", ["1", "2", "3"])
def test_one_that_fails_is_remembered(tmp_path, jobs):
    status, events = sweep(tmp_path, JOBS=jobs, SEEDS="0 1 2")
    assert status == 1
    assert len(events) == 12
