"""Traces of training steps."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from utils.training.profiling import profiled

CPU = torch.device("cpu")


def traced_steps(path: Path, steps: int) -> int:
    """How many of ``steps`` matrix products stand in the trace."""
    with profiled(path, CPU, steps) as profiler:
        for _ in range(steps):
            torch.ones(3, 3) @ torch.ones(3, 3)
            profiler.step()
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return sum(event.get("name") == "aten::mm" for event in events)


@pytest.mark.parametrize(("steps", "traced"), [(2, 1), (3, 2), (9, 5), (100, 5)])
def test_a_few_steps_are_traced_however_short_the_training(tmp_path, capsys, steps, traced):
    path = tmp_path / "profile.json.gz"
    assert traced_steps(path, steps) == traced
    assert capsys.readouterr().out == f"profile: {path}\n"


@pytest.mark.parametrize(("path", "steps"), [(None, 5), ("profile.json.gz", 0), ("profile.json.gz", 1)])
def test_nothing_is_traced_where_nothing_is_asked_for_or_done(tmp_path, capsys, path, steps):
    with profiled(path and tmp_path / path, CPU, steps) as profiler:
        for _ in range(steps):
            profiler.step()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""
