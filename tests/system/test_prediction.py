"""python -m experiments.landscape.prediction on runs of main.py."""

from __future__ import annotations

import csv

import pytest
from commands import FAST, Commands

from experiments.landscape import prediction
from utils.data.coreset import Coreset
from utils.errors import UserError


def test_each_run_is_measured_as_certificates_are(commands: Commands, capsys, monkeypatch):
    flags = f"{FAST.replace('--certificate no', '')} --epochs 1 --fraction 0.05 --num_exp 2"
    for method in ("LCMat", "Craig", "Uniform"):
        assert commands.main(f"{flags} --selection {method}").status == 0
    table, plot = commands.folder / "gaps.csv", commands.folder / "gaps.png"
    prediction.main([str(commands.folder / "result"), "--csv", str(table), "--plot", str(plot)])
    assert "| fraction 0.05, means over seeds |      3 |" in capsys.readouterr().out
    rows = {(row["selection"], row["seed"]): row for row in csv.DictReader(table.read_text().splitlines())}
    assert len(rows) == 6
    for method in ("LCMat", "Craig"):
        for seed in "01":
            [run] = commands.runs(f"*_{method}_*_s{seed}_*")
            certificate = Coreset.load(run / "coreset.npz").certified
            row = rows[method, seed]
            assert float(row["gradient"]) == pytest.approx(certificate.gradient, rel=1e-3)
            assert float(row["worst"]) == pytest.approx(certificate.worst, rel=1e-3)
    assert plot.exists()
    before = table.read_bytes()
    monkeypatch.setattr(prediction, "embed_and_classify", None)  # whatever is measured now fails the test
    prediction.main([str(commands.folder / "result"), "--csv", str(table)])
    assert table.read_bytes() == before


def test_runs_without_any_proxy_are_refused(commands: Commands):
    assert commands.main(f"{FAST} --selection Uniform --fraction 0.05").status == 0
    with pytest.raises(UserError, match="selected without a proxy"):
        prediction.main([str(commands.folder / "result")])
    with pytest.raises(UserError, match="no finished run"):
        prediction.main([str(commands.folder / "nothing")])
