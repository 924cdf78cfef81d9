"""Certificates that main.py measures with its selections."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from commands import FAST, Commands

from utils.data.coreset import Coreset
from utils.files import read_npz
from utils.records.tables import load_table

CERTIFIED = FAST.replace("--certificate no", "--certificate auto")


@pytest.mark.parametrize("scoring", ["temperature", "class_batches"])
def test_a_selection_is_certified_at_its_proxy_whatever_its_scoring(commands: Commands, scoring):
    flags = f"{CERTIFIED} --fraction 0.05 --val yes --save_features"
    assert commands.main(f"{flags} --selection Craig").status == 0
    answer = commands.main(f"{flags} --selection LCMat --scoring {scoring}")
    assert answer.status == 0
    [run] = commands.runs("*_LCMat_*")
    [features] = [path for path in (commands.folder / "result" / "features").glob("*.npz") if "class" not in path.name]
    arrays = read_npz(features)
    coreset = Coreset.load(run / "coreset.npz")
    place = {int(index): position for position, index in enumerate(arrays["indices"])}
    in_pool = Coreset(np.array([place[int(index)] for index in coreset.indices]), coreset.weights)
    expected = in_pool.certificate(arrays["embeddings"], arrays["logits"], arrays["labels"])
    assert coreset.certified == expected
    assert json.loads((run / "summary.json").read_text())["certificate"] == dataclasses.asdict(expected)
    assert f"{expected}" in answer.out


def test_the_table_shows_certificates_where_there_are_some(commands: Commands):
    for method in ("LCMat", "Uniform"):
        assert commands.main(f"{CERTIFIED} --selection {method} --fraction 0.05 --epochs 1 --num_exp 3").status == 0
    worst = sorted(Coreset.load(run / "coreset.npz").certified.worst for run in commands.runs("*_LCMat_*"))
    table = load_table([commands.folder / "result"])
    lines = table.markdown(gaps=True).splitlines()
    assert "worst change | random coresets'" in lines[0]
    assert f"{worst[1]:.3g}" in next(line for line in lines if "| LCMat " in line)
    cells = next(line for line in lines if "| Uniform " in line).split("|")[-7:-1]
    assert {cell.strip() for cell in cells} == {"–"}
    assert "worst change" not in table.markdown()
    assert "worst change" in table.csv(gaps=True).splitlines()[0]


def test_a_certificate_that_would_take_minutes_is_left_out_unless_asked_for(commands: Commands, monkeypatch):
    monkeypatch.setattr("experiments.certificates._AT_ONCE", 1000)
    answer = commands.main(f"{CERTIFIED} --selection LCMat --fraction 0.05")
    assert "note: no certificate was measured" in answer.err
    [run] = commands.runs()
    assert Coreset.load(run / "coreset.npz").certified is None
    assert json.loads((run / "summary.json").read_text())["certificate"] is None
    answer = commands.main(f"{FAST} --certificate yes --selection LCMat --fraction 0.05", "other")
    [run] = commands.runs(save_path="other")
    assert Coreset.load(run / "coreset.npz").certified is not None
