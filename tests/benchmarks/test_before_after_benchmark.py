"""The benchmark of what people wait for: both ways give the same, and what it times is what it says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import before_after
from utils.config import DataConfig
from utils.data.coreset import Coreset
from utils.data.load import load_data
from utils.errors import UserError


def test_it_prints_a_row_for_each_way_within_this_process(capsys):
    small = ["--samples", "20", "--repeats", "1"]
    before_after.main(["--lines", "weighted", "classes", "kcenter", *small])
    rows = re.findall(r"^\| (.*) \| [\d.]+ \| [\d.]+ \| [\d.]+× \|$", capsys.readouterr().out, re.MULTILINE)
    assert len(rows) == 3 + 2 * 5 + 1
    assert {row.split(",")[0] for row in rows} >= {"Craig", "LCMat", "GradMatch", "Glister", "kCenterGreedy"}


def test_other_picks_or_weights_are_refused():
    picks = Coreset(np.array([2, 0]), np.ones(2, dtype=np.float32))
    before_after._assert_same([picks], [picks])
    for other in (picks.at(np.array([1, 0])), Coreset(picks.indices, np.array([1, 2], dtype=np.float32))):
        with pytest.raises(AssertionError):
            before_after._assert_same([picks], [other])


def test_a_proxy_learns_the_same_however_often_it_is_tested():
    data = load_data(DataConfig("Digits"))
    often, once = (before_after._train_proxy("MLP", data, 2, test_interval=interval) for interval in (1, 0))
    assert often == once
    assert len(once) == 2


def test_code_and_commands_are_those_of_each_folder(tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text("print()")
    before_after._run(["main.py", "--help"], tmp_path)
    monkeypatch.setattr(before_after, "_EARLIER", "no-such-commit")
    with pytest.raises(UserError, match="no commit no-such-commit"):
        next(before_after._starting(before_after.Sizes(1, 1, 1)))
