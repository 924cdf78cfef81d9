"""The benchmark of every method: a row for each, and peers that do the same work."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from benchmarks import measure, method_peers, methods, shapes
from methods import METHODS, make_method


@pytest.fixture
def short(monkeypatch):
    """Turns that end after one call, and torch's threads as they were."""
    monkeypatch.setattr(measure, "_TURN", 1e-9)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("short")
def test_every_method_has_a_row_in_table_and_csv(tmp_path, capsys):
    small = ["--samples", "120", "--fractions", "0.05", "0.1", "--repeats", "1", "--threads", "1"]
    methods.main([*small, "--csv", str(tmp_path / "methods.csv")])
    with (tmp_path / "methods.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == [name for name in METHODS if name != "Full"]
    out = capsys.readouterr().out
    for name, row in rows.items():
        assert f"| {name} |" in out
        assert min(float(row["5% (s)"]), float(row["10% (s)"])) >= 0
        assert int(row["MB"]) >= 0
    for name in ("kCenterGreedy", "Cal", "Prototypicality"):
        assert "scikit-learn" in rows[name]["peer, at the largest"]
        assert rows[name]["same picks"] == "100.0%"
        assert float(rows[name]["peer (s)"]) > 0
    assert rows["kCenterGreedy"]["objective"] == rows["kCenterGreedy"]["peer's objective"] != ""
    assert rows["Herding"]["peer, at the largest"] == rows["Herding"]["same picks"] == ""


def test_the_objective_of_k_center_is_the_radius_that_the_picks_cover():
    features = shapes.even(60)
    peer = method_peers.peer_of(make_method("kCenterGreedy"), features, 4)
    picks = np.array([3, 20, 41])
    away = [min(float((a - features.embeddings[i]).double().norm()) for i in picks) for a in features.embeddings]
    assert peer.objective(picks) == pytest.approx(-max(away), rel=1e-6)
    assert len(set(peer.picks())) == 4
