"""The direction of imports, package by package and wing by wing, and the tables from name to class."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("main", "cross_network_generalization", "condense", "continual", "landscape")
# From the top floor to the ground; a part imports from its own floor and from those below.
FLOORS = (
    "scripts",
    "continual_learning",
    "condensation",
    "experiments",
    "methods",
    "nets",
    "utils.records",
    "utils.training",
    "utils.data",
    "utils.landscape",
    "utils",
)
PACKAGES = ("condensation", "continual_learning", "experiments", "methods", "nets", "utils")
DOORS = {"utils/report.py", "utils/export.py", "utils/comparison_sheet.py"}  # python -m utils.report, and so on


def files() -> list[Path]:
    """Every file of the project but tests, benchmarks and doors."""
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [*(path for path in found if str(path.relative_to(ROOT)) not in DOORS), *sorted(ROOT.glob("*.py"))]


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files()}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def floor(module: str) -> int | None:
    """The floor that a module is on, from the top; None of somebody else's."""
    if module in SCRIPTS:
        return 0
    on = [number for number, name in enumerate(FLOORS) if module == name or module.startswith(f"{name}.")]
    return on[0] if on else None


def test_every_package_and_wing_has_its_floor():
    wings = {f"utils.{path.name}" for path in (ROOT / "utils").iterdir() if (path / "__init__.py").exists()}
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert wings | tops == set(FLOORS) - {"scripts"}
    assert {path.stem for path in ROOT.glob("*.py")} == set(SCRIPTS)


@pytest.mark.parametrize("name", FLOORS)
def test_imports_go_one_way(name):
    checked = 0
    for module, path in modules().items():
        own = floor(module)
        assert own is not None, f"{module} is on no floor"
        if FLOORS[own] != name:
            continue
        checked += 1
        for other in imported(path):
            below = floor(other)
            assert below is None or below >= own, f"{path} imports {other}"
    assert checked


def test_no_two_folders_import_each_other():
    known = modules()
    edges = defaultdict(set)
    for module, path in known.items():
        folder = module.rpartition(".")[0] if path.name != "__init__.py" else module
        for other in imported(path) & known.keys():
            there = other.rpartition(".")[0] if known[other].name != "__init__.py" else other
            if folder != there and not (folder.startswith(f"{there}.") or there.startswith(f"{folder}.")):
                edges[folder].add(there)
    both = {(a, b) for a in edges for b in edges[a] if a in edges.get(b, ())}
    assert not both


def test_only_entry_scripts_and_arguments_know_the_command_line():
    for module, path in modules().items():
        if module.startswith(("methods", "nets")):
            assert not any(name.startswith(("argparse", "experiments")) for name in imported(path)), path


def test_runtime_packages_are_those_in_the_requirements():
    named = {line.split(">")[0] for line in (ROOT / "requirements.txt").read_text().split("\n") if line[:1].isalpha()}
    known = named | {"PIL", *PACKAGES, *SCRIPTS}  # pillow comes with torchvision, which hands out its images
    for path in files():
        foreign = {name.split(".")[0] for name in imported(path)}
        assert foreign - set(sys.stdlib_module_names) <= known, path
