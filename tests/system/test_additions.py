"""The examples of CONTRIBUTING.md, as somebody adds them: one file or function and one line, no other part to tell."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = "--dataset Digits --model MLP --fraction 0.05 --epochs 1 -se 1"
SCRIPTS = ("main.py", "cross_network_generalization.py", "condense.py", "landscape.py")


def examples() -> dict[str, str]:
    """The Python that each section of CONTRIBUTING shows, by the section's heading."""
    sections = (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")
    shown = {text.partition("\n")[0]: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for text in sections}
    return {f"{heading} {number}": code for heading, codes in shown.items() for number, code in enumerate(codes)}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository's code with every example added."""
    root = tmp_path_factory.mktemp("repository")
    for package in ("condensation", "experiments", "methods", "nets", "utils"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for script in SCRIPTS:
        shutil.copy(ROOT / script, root)
    code = examples()
    (root / "methods/lowest_loss.py").write_text(code["Adding a selection method 0"])
    insert(root / "methods/__init__.py", "from methods.scoring import", "from methods.lowest_loss import LowestLoss\n")
    insert(root / "methods/__init__.py", '    "DeepFool": ', '    "LowestLoss": LowestLoss,\n')
    insert(root / "methods/greedy/set_functions.py", "SET_FUNCTIONS: ", code["Adding a set function 0"])
    insert(root / "methods/greedy/set_functions.py", '    "GraphCut": ', '    "DistinctSum": DistinctSum,\n')
    (root / "nets/linear.py").write_text(code["Adding a network 0"])
    insert(root / "nets/__init__.py", "from nets.mlp import", "from nets.linear import Linear\n")
    (root / "utils/data/loaders/stripes.py").write_text(code["Adding a data set 0"])
    insert(root / "utils/data/registry.py", '    "Digits": ', code["Adding a data set 1"])
    insert(root / "condensation/objective.py", "DISTANCES: ", code["Adding to condensation 0"])
    insert(root / "condensation/objective.py", '"layerwise": ', '"manhattan": manhattan, ')
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
    assert "--floor F LowestLoss: losses up to this one rank last (default: 0.0)" in text
    names = {
        "the method": "LowestLoss",
        "the network to train": "Linear",
        "the set function": "DistinctSum",
        "the images to select from": "Stripes",
    }
    for kind, name in names.items():
        assert name in re.split(r"[, ;]+", text.partition(f"{kind}: ")[2].partition("(default")[0])


def test_a_method_with_an_option_of_its_own(repository):
    run(repository, f"main.py {RUN} --selection lowestloss --floor 0.5")
    printed = run(repository, f"main.py {RUN} --selection LowestLoss")
    assert "| LowestLoss" in printed
    found = configurations(repository, "Digits_MLP_LowestLoss_*")
    assert sorted(config["selection"]["options"]["floor"] for config in found) == [0.0, 0.5]
    table = run(repository, "-m utils.report result")
    assert "| floor=0.0 " in table
    assert "| floor=0.5 " in table
    matching = f"{RUN.replace(' -se 1', '')} --selection LowestLoss --floor 0.5 --cross LeNet"
    run(repository, f"cross_network_generalization.py {matching}")
    [config] = configurations(repository, "Digits_LeNet_LowestLoss_*")
    assert config["selection"]["options"] == {"floor": 0.5}


def test_a_network(repository):
    assert "| Linear" in run(repository, f"main.py {RUN} --model linear --selection Uniform")


def test_a_set_function(repository):
    run(repository, f"main.py {RUN} --selection Submodular --submodular distinctsum")
    [config] = configurations(repository, "Digits_MLP_Submodular_*")
    assert config["selection"]["options"]["submodular"] == "DistinctSum"


def test_a_data_set(repository):
    assert "| Stripes" in run(repository, f"main.py {RUN.replace('Digits', 'stripes')} --selection Uniform")


def test_a_distance_of_gradients(repository):
    flags = "--method DSA --distance manhattan --ipc 1 --iterations 1 --num_eval 1 --eval_epochs 1"
    assert "| DSA" in run(repository, f"condense.py --dataset Digits --model MLP {flags}")
