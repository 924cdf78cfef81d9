"""What is imported before there is work to do: torch and this project, and none of the packages that take long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torchvision", "matplotlib", "PIL", "scipy", "tqdm"}

HELP = """
import contextlib, io, runpy, sys
import torch
known = {name.partition(".")[0] for name in sys.modules}
sys.path.insert(0, "")
sys.argv = [sys.argv[1], "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
print(*{name.partition(".")[0] for name in sys.modules} - known)
"""


@pytest.mark.parametrize("script", ["main.py", "condense.py", "cross_network_generalization.py"])
def test_help_imports_little_more_than_torch(script: str) -> None:
    command = [sys.executable, "-c", HELP, script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert {"experiments", "methods", "nets", "utils"} <= imported
    assert not imported & HEAVY
