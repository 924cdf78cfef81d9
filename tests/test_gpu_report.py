"""Slices of the report on a GPU: what a call has no time for is saved, named, and gone on with by the next."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
INTERPRETER = """#!/usr/bin/env bash
case $* in
    -c*) echo 2 ;;
    *utils.report*) echo "| a table |" ;;
    *main.py*)
        trap 'echo "saved $$" >> "$LOG"; exit 143' TERM
        echo "start $$" >> "$LOG"
        mkdir -p "$SAVE_PATH/run" && touch "$SAVE_PATH/run/summary.json"
        sleep "$SECONDS_A_RUN" &
        wait $!
        echo "end $$" >> "$LOG" ;;
    *) echo other >> "$LOG"; [ "$BROKEN" = no ] ;;
esac
"""


def report(folder: Path, **settings: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """One call with an interpreter that sleeps, and what it has noted so far."""
    interpreter, log = folder / "python", folder / "log"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    given = {"PYTHON": str(interpreter), "LOG": str(log), "SAVE_PATH": str(folder / "out"), "BROKEN": "no"}
    given |= {"PARTS": "study", "WAYS": "Uniform LCMat", "SEEDS": "0 1", "JOBS": "2", **settings}
    done = subprocess.run(
        ["bash", "bash/gpu_report.sh"], cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True
    )
    return done, log.read_text().splitlines()


def test_work_that_a_slice_ends_in_is_saved_and_gone_on_with(tmp_path):
    done, log = report(tmp_path, SLICE="2", SECONDS_A_RUN="60")
    assert done.returncode == 0
    assert "left for the next call: study, which goes on" in done.stdout
    started = {line.split()[1] for line in log if line.startswith("start ")}
    assert len(started) == 2
    assert {line.split()[1] for line in log if line.startswith("saved ")} == started
    assert "| a table |" in done.stdout  # of what was finished until then
    done, log = report(tmp_path, SLICE="60", SECONDS_A_RUN="0")
    assert done.stdout.rstrip().endswith("nothing is left")
    assert len([line for line in log if line.startswith("end ")]) == 4
    assert report(tmp_path, SLICE="60", SECONDS_A_RUN="0")[1] == log


def test_what_fails_holds_nothing_up_and_is_tried_again(tmp_path):
    settings = {"PARTS": "selection study", "SLICE": "60", "SECONDS_A_RUN": "0"}
    done, _ = report(tmp_path, **settings, BROKEN="yes")
    assert done.returncode == 1
    assert "failed, and tried again by the next call: selection (status 1" in done.stdout
    assert "## study" in done.stdout
    done, _ = report(tmp_path, **settings)
    assert done.returncode == 0
    assert "nothing is left" in done.stdout
