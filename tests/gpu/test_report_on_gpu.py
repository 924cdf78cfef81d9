"""bash/gpu_report.sh from one end to the other, at a size that says nothing but that it works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "DATASET": "Digits",
    "MODEL": "MLP",
    "RUN_METHODS": "LCMat",
    "WAYS": "Uniform LCMat-released",
    "FRACTIONS": "0.01",
    "EPOCHS": "1",
    "PROXY_EPOCHS": "1",
    "SEEDS": "0",
    "PRECISION_WAYS": "Uniform LCMat",
    "PRECISION_FRACTIONS": "0.01",
    "METHODS": "DSA",
    "IPC": "1",
    "CONDENSATION": "--iterations 1 --epochs 2",
    "NUM_EVAL": "1",
    "MODES": "eager",
    "BENCHMARK": "--repeats 1 --samples 200 --network MLP --images 64 --matrix 32",
    "JOBS": "1",
}
SERVER = "tests/gpu/fork_server.py"


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[Path]:
    """A Python that is on a machine with a pretended GPU."""
    address, path = tmp_path / "server", tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S {SERVER} {address} "$@"\n')
    path.chmod(0o755)
    with subprocess.Popen([sys.executable, SERVER, "serve", str(address)], cwd=ROOT) as server:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.1)
        yield path
        server.kill()


def report(python: Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One call."""
    given = {**os.environ, "PYTHON": str(python), "SAVE_PATH": str(folder), **TINY, **settings}
    return subprocess.run(["bash", "bash/gpu_report.sh"], cwd=ROOT, env=given, capture_output=True, text=True)


def test_every_part_leaves_its_table_and_is_measured_once(interpreter, tmp_path):
    folder = tmp_path / "report"
    before = report(interpreter, folder, SLICE="0")
    assert before.returncode == 0
    assert before.stdout.count("left for the next call: ") == 10
    done = report(interpreter, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing is left")
    for part, line in {
        "runs": "| landscape | ",
        "selection": "| 200, 10 classes | ",
        "training": "| batch 128 | ",
        "study": "| Digits  | MLP   | LCMat ",
        "precision": "| amp=True",
        "condensation": "| DSA ",
    }.items():
        assert f"\n## {part}\n" in done.stdout
        assert line in (folder / f"{part}.md").read_text()
    assert "pretended GPU" in (folder / "selection.md").read_text()
    (summary, *_) = (folder / "study").glob("*LCMat*/summary.json")
    assert "pretended GPU" in summary.read_text()
    assert report(Path("/bin/false"), folder).stdout == done.stdout
