"""How long OpenMP's threads spin is set before torch, whatever is imported first, and a user's own choice stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import importlib, importlib.abc, os, sys

class BeforeTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, BeforeTorch())
sys.path.insert(0, "")
importlib.import_module(sys.argv[1])
"""


def spin_count(module: str, **setting: str) -> str:
    """What OpenMP finds when ``module`` imports torch."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", PROGRAM, module]
    return subprocess.run(
        command, cwd=ROOT, env=environment | setting, capture_output=True, text=True, check=True
    ).stdout.strip()


SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py"))


@pytest.mark.parametrize("module", [*SCRIPTS, "methods", "nets.mlp", "experiments.proxy", "utils.report"])
def test_threads_spin_briefly(module):
    assert spin_count(module) == "1000"


def test_a_choice_of_the_users_own_stands():
    assert spin_count("methods", GOMP_SPINCOUNT="7") == "7"
    assert spin_count("methods", OMP_WAIT_POLICY="active") == "None"
