"""What seed_faults.py does, at a few places; it is run over all of them by hand."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from gpu.seed_faults import ROOT, Fault, faults

PLACES = list(faults())


def test_every_kind_of_place_is_found():
    found = {(each.path, each.call) for each in PLACES}
    assert ("methods/greedy/pairwise_matrix.py", "torch.arange(self.n, device=self.device)") in found
    assert ("methods/features.py", "self.logits.to(device)") in found
    assert any(".to(memory_format=" in each.without for each in PLACES)
    assert len(found) > 80


def test_only_the_device_is_taken_out():
    source = 'é = "é", z.to(self.device, torch.half), [q.cpu() for q in (\n    torch.ones(2, device=d),)]\n'
    place = Fault("-", 2, "torch.ones(2, device=d)", "torch.ones(2)")
    assert place.seeded(source) == source.replace(", device=d", "")
    assert len(place.seeded(source)) < len(source)


@pytest.mark.parametrize("place", PLACES[::20], ids=lambda place: f"{place.path}:{place.line}")
def test_what_is_left_is_a_program(place):
    source = (ROOT / place.path).read_text()
    assert ast.dump(ast.parse(place.seeded(source))) != ast.dump(ast.parse(source))


@pytest.mark.parametrize(
    ("test", "caught"),
    [
        ("tests/gpu/test_selection_on_gpu.py::test_classes_together_are_picked_without_waiting", "1 of 1 caught"),
        ("tests/gpu/test_seeded_faults.py::test_only_the_device_is_taken_out", "0 of 1 caught"),
    ],
)
def test_a_fault_is_caught_by_a_test_that_comes_there_and_by_no_other(test, caught):
    where = ("--under", "methods/greedy/class_batches.py", "--first", "1")
    command = [sys.executable, "tests/gpu/seed_faults.py", *where, "--tests", test]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == caught, done.stderr
