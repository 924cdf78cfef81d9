"""Take a device out of the code at each place in turn, and see whether the tests with a pretended GPU notice.

    python tests/gpu/seed_faults.py                                       # every place; hours on two cores
    python tests/gpu/seed_faults.py --under methods --csv figures/gpu_faults.csv

A place is a ``device=`` of a call to torch, a ``.to(device)``, or a ``moved(…, device)``. Each is taken out in a
temporary copy of the code, and the tests of its part run there until one fails. With ``--csv`` places that stand in the
file already are left out, and those found are added: so it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("methods", "nets", "utils", "experiments", "condensation", "continual_learning")
SELECTION, TRAINING = "tests/gpu/test_selection_on_gpu.py", "tests/gpu/test_training_on_gpu.py"
SCRIPTS, WAITS = "tests/gpu/test_scripts_on_gpu.py", "tests/gpu/test_launches_and_waits.py"
RANKS = "tests/gpu/test_ranks_on_gpu.py"
TESTS = {  # by the beginning of a file's name, the longest that fits; in the order in which they are run
    "methods": (SELECTION, TRAINING, SCRIPTS, WAITS, RANKS),
    "nets": (SELECTION, SCRIPTS, TRAINING),
    "utils": (TRAINING, SCRIPTS, SELECTION, WAITS, RANKS),
    "utils/landscape": (SCRIPTS,),
    "experiments": (SCRIPTS, TRAINING, RANKS),
    "condensation": (SCRIPTS, "tests/gpu/test_condensation_on_gpu.py", WAITS),
    "continual_learning": (SCRIPTS,),
}


@dataclass(frozen=True)
class Fault:
    """A place in a file, what stands there, and what stands there without the device."""

    path: str
    line: int
    call: str
    without: str

    def seeded(self, source: str) -> str:
        """Return the file's text with the fault."""
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and node.lineno == self.line and ast.unparse(node) == self.call:
                data = source.encode()
                start, end = (_offset(data, *at) for at in _span(node))
                return (data[:start] + self.without.encode() + data[end:]).decode()
        raise ValueError(f"{self.path}:{self.line} has no {self.call}")


@dataclass(frozen=True)
class Outcome:
    """A row of the table: whether a test failed, and which one first."""

    path: str
    line: int
    call: str
    without: str
    caught: bool
    by: str


def faults(root: Path = ROOT) -> Iterator[Fault]:
    """Yield every place where a device can be taken out, file by file."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and (changed := _without_device(node)) is not None:
                    yield Fault(str(path.relative_to(root)), node.lineno, ast.unparse(node), ast.unparse(changed))


def _without_device(call: ast.Call) -> ast.expr | None:
    """Return the call without its device; None where it names none that torch would act by."""
    function = call.func
    if isinstance(function, ast.Name) and function.id == "moved" and "device" in ast.unparse(call.args[-1]).lower():
        return call.args[0]
    if not isinstance(function, ast.Attribute):
        return None
    if function.attr == "to" and call.args and "device" in ast.unparse(call.args[0]).lower():
        rest = ast.Call(function, call.args[1:], [each for each in call.keywords if each.arg != "non_blocking"])
        return rest if rest.args or rest.keywords else function.value
    of_torch = ast.unparse(function).startswith("torch.") or function.attr.startswith("new_")
    kept = [each for each in call.keywords if each.arg != "device"]
    if not of_torch or len(kept) == len(call.keywords):
        return None
    changed = copy.copy(call)
    changed.keywords = kept
    return changed


def _span(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _offset(data: bytes, line: int, column: int) -> int:
    return sum(len(each) for each in data.splitlines(keepends=True)[: line - 1]) + column


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code that faults are seeded in."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in (*PACKAGES, "tests"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
            shutil.copy(path, root)
        yield root


def tried(fault: Fault, root: Path, tests: Sequence[str]) -> Outcome:
    """Seed the fault in the copy, run the tests until one fails, and mend the copy."""
    path = root / fault.path
    whole = path.read_text()
    path.write_text(fault.seeded(whole))
    try:
        by = first_failure(root, tests)
    finally:
        path.write_text(whole)
    return Outcome(fault.path, fault.line, fault.call, fault.without, by != "", by)


def first_failure(root: Path, tests: Sequence[str]) -> str:
    """Return the first test that fails, run in a forked process, which need not import torch again; or nothing."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _run(root, tests, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.wait()
    return said or ("" if status == 0 else "before any test")


def _run(root: Path, tests: Sequence[str], writing: int) -> None:
    import pytest

    class First:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                os.write(writing, report.nodeid.encode())

    os.chdir(root)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode = True
    os._exit(int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests], plugins=[First()])))


def tests_of(path: str) -> tuple[str, ...]:
    """Return the tests of the part that a file belongs to."""
    return TESTS[max((part for part in TESTS if path.startswith(part)), key=len)]


def main() -> None:
    """Try the faults asked for, and print how each ended."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--under", default="", help="only files whose path begins so")
    parser.add_argument("--csv", type=Path, help="where outcomes are kept")
    parser.add_argument("--tests", nargs="+", help="what to run in place of the tests of each part")
    parser.add_argument("--first", type=int, help="only so many")
    chosen = parser.parse_args()
    import torch  # noqa: F401  # so that forked processes have it

    known = set()
    if chosen.csv is not None and chosen.csv.exists():
        known = {(row["path"], row["call"]) for row in csv.DictReader(chosen.csv.open(newline=""))}
    todo = [each for each in faults() if each.path.startswith(chosen.under) and (each.path, each.call) not in known]
    caught = 0
    with copied() as root:
        for fault in todo[: chosen.first]:
            outcome = tried(fault, root, chosen.tests or tests_of(fault.path))
            caught += outcome.caught
            how = f"caught by {outcome.by}" if outcome.caught else "NOT CAUGHT"
            print(f"{fault.path}:{fault.line}: {fault.call} -> {fault.without}: {how}", flush=True)
            if chosen.csv is not None:
                keep(outcome, chosen.csv)
    print(f"{caught} of {len(todo[: chosen.first])} caught")


def keep(outcome: Outcome, path: Path) -> None:
    """Add a row to the table."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([each.name for each in fields(Outcome)])
        writer.writerow(astuple(outcome))


if __name__ == "__main__":
    main()
