"""A method, a network and a set function that somebody adds: one file and one line each, and no other part to tell."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHOD = '''
"""Every so-many-th sample."""

from dataclasses import dataclass

import torch

from methods.base import Method, Need, highest
from utils.flags import flag, integer


@dataclass(frozen=True)
class Periodic(Method):
    """Samples ``period`` apart, from the first."""

    source = "a test"
    need = Need.NOTHING

    period: int = flag(3, "--its_period -ip", integer(1), "Periodic: how far apart its picks are", "N")

    def pick(self, inputs, budget, settings):
        return highest(-(torch.arange(len(inputs)) % self.period), budget)
'''
NETWORK = '''
"""A linear classifier."""

from torch import nn

from nets.contract import Network, NetworkSpec


def _linear(channels, num_classes, size):
    pixels = channels * size[0] * size[1]
    return Network(nn.Flatten(), nn.Linear(pixels, num_classes))


Linear = NetworkSpec("Linear", _linear, smallest_image=1)
'''
SET_FUNCTION = '''class Modular(GraphCut):
    """gain(j) = Σ_i S_ij: what is picked already makes no difference."""

    def add(self, candidate: int) -> None:
        pass


'''
RUN = "--dataset Digits --model MLP --fraction 0.05 --epochs 1 -se 1"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository's code with one of each added."""
    root = tmp_path_factory.mktemp("repository")
    for package in ("condensation", "experiments", "methods", "nets", "utils"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ("main.py", "cross_network_generalization.py"):
        shutil.copy(ROOT / script, root)
    (root / "methods/periodic.py").write_text(METHOD)
    insert(root / "methods/__init__.py", "from methods.select import", "from methods.periodic import Periodic\n")
    insert(root / "methods/__init__.py", '    "DeepFool": ', '    "Periodic": Periodic,\n')
    (root / "nets/linear.py").write_text(NETWORK)
    insert(root / "nets/__init__.py", "from nets.mlp import", "from nets.linear import Linear\n")
    insert(root / "methods/greedy/set_functions.py", "SET_FUNCTIONS: ", SET_FUNCTION)
    insert(root / "methods/greedy/set_functions.py", '    "GraphCut": ', '    "Modular": Modular,\n')
    return root


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text()
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before))


def run(repository: Path, line: str) -> str:
    """What a command prints."""
    answer = subprocess.run(
        [sys.executable, *shlex.split(line)], cwd=repository, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def configurations(repository: Path, pattern: str) -> list[dict[str, Any]]:
    paths = (repository / "result").glob(f"{pattern}/config.json")
    return [json.loads(path.read_text())["run"] for path in paths]


def test_help_names_what_was_added(repository):
    text = " ".join(run(repository, "main.py --help").split())
    assert "--its_period, -ip N Periodic: how far apart its picks are (default: 3)" in text
    for kind, name in (("the method", "Periodic"), ("the network to train", "Linear"), ("the set function", "Modular")):
        assert name in text.partition(f"{kind}: ")[2].partition("(default")[0].replace(",", "").split()


def test_a_method_with_an_option_of_its_own(repository):
    run(repository, f"main.py {RUN} --selection periodic -ip 2")
    printed = run(repository, f"main.py {RUN} --selection Periodic")
    assert "| Periodic" in printed
    found = configurations(repository, "Digits_MLP_Periodic_*")
    assert sorted(config["selection"]["options"]["period"] for config in found) == [2, 3]
    table = run(repository, "-m utils.report result")
    assert "| period=2 " in table
    assert "| period=3 " in table
    matching = f"{RUN.replace(' -se 1', '')} --selection Periodic -ip 2 --cross LeNet"
    run(repository, f"cross_network_generalization.py {matching}")
    [config] = configurations(repository, "Digits_LeNet_Periodic_*")
    assert config["selection"]["options"] == {"period": 2}


def test_a_network(repository):
    assert "| Linear" in run(repository, f"main.py {RUN} --model linear --selection Uniform")


def test_a_set_function(repository):
    run(repository, f"main.py {RUN} --selection Submodular --submodular modular")
    [config] = configurations(repository, "Digits_MLP_Submodular_*")
    assert config["selection"]["options"]["submodular"] == "Modular"
