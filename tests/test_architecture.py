"""The direction of imports, and the tables from name to class."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "nets": {"nets", "utils"},
    "utils": {"nets", "utils"},
    "methods": {"methods", "nets", "utils"},
    "condensation": {"condensation", "methods", "nets", "utils"},
}
OURS = {*MAY_IMPORT, "main", "cross_network_generalization", "condense", "benchmarks", "tests"}
LOW = {"errors", "seeding", "files"}  # what nets may use of utils


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    assert files_of(package)
    for path in files_of(package):
        ours = {name.split(".")[0] for name in imported(path)} & OURS
        assert ours <= MAY_IMPORT[package], f"{path} imports {ours - MAY_IMPORT[package]}"


def test_networks_use_no_more_of_utils_than_its_foundation():
    for path in files_of("nets"):
        used = {name.split(".")[1] for name in imported(path) if name.startswith("utils.")}
        assert used <= LOW, f"{path} imports {used}"


def test_only_entry_scripts_and_the_catalogue_know_the_command_line():
    for path in [*files_of("methods"), *files_of("nets")]:
        if path.name != "catalogue.py":
            assert not any(name.startswith(("argparse", "utils.arguments")) for name in imported(path)), path


def test_runtime_packages_are_those_in_the_requirements():
    named = {line.split(">")[0] for line in (ROOT / "requirements.txt").read_text().split("\n") if line[:1].isalpha()}
    known = named | {"PIL"} | OURS  # pillow comes with torchvision, which hands out its images
    for path in [*(file for package in MAY_IMPORT for file in files_of(package)), *ROOT.glob("*.py")]:
        foreign = {name.split(".")[0] for name in imported(path)}
        assert foreign - set(__import__("sys").stdlib_module_names) <= known, path
