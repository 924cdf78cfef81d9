"""The benchmark of work beside other work runs, and its settings reach the processes that it starts."""

from __future__ import annotations

import os
import re

from benchmarks import busy
from benchmarks.measure import Elsewhere


def test_it_prints_a_table_for_each_kind_of_work(capsys):
    busy.main(["--samples", "50", "--repeats", "1", "--busy", "1"])
    output = capsys.readouterr().out
    assert output.count("seconds | 1 busy |") == 4
    assert len(re.findall(r"^\| this project \| \d+\.\d\d \|$", output, re.MULTILINE)) == 4


def spin_count() -> str | None:
    return os.environ.get("GOMP_SPINCOUNT")


def test_variables_are_set_and_unset_before_anything_is_imported(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    assert Elsewhere(GOMP_SPINCOUNT="7").measured(spin_count).result == "7"
    assert Elsewhere(GOMP_SPINCOUNT=None).measured(spin_count).result == "1000"
    assert os.environ["GOMP_SPINCOUNT"] == "5"
