"""Every entry script on a GPU, from the command line to the table."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

DIGITS = ("--dataset", "Digits", "--model", "MLP", "--epochs", "1", "--batch", "256")


def call(monkeypatch: pytest.MonkeyPatch, script: str, *flags: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *flags])
    importlib.import_module(script).main()


@pytest.fixture(autouse=True)
def settings_of_torch():
    """What pick_device sets for the whole process stays within the test."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]


@pytest.mark.parametrize("analyses", ["--after_analyses", "--exact_analyses"])
def test_select_and_retrain(gpu, monkeypatch, tmp_path: Path, capsys, analyses):
    save = ("--save_path", str(tmp_path))
    call(monkeypatch, "main", *DIGITS, *save, "--fraction", "0.02", "--selection", "LCMat", "-se", "1", analyses)
    assert "| Digits  | MLP   | LCMat " in capsys.readouterr().out
    (coreset,) = tmp_path.glob("*/coreset.npz")
    call(monkeypatch, "cross_network_generalization", *DIGITS, *save, "--cross", "LeNet")
    call(monkeypatch, "main", *DIGITS, *save, "--coreset", str(coreset), "--amp")
    assert "pretended GPU" in (coreset.parent / "summary.json").read_text()


@pytest.mark.parametrize("method", ["LCMat", "DC", "DSA", "DM"])
def test_condense_and_train(gpu, monkeypatch, tmp_path: Path, capsys, method):
    loops = () if method == "DM" else ("--outer", "2", "--inner", "1")
    learn = ("--method", method, "--ipc", "2", "--iterations", "2", "--real_batch", "4", *loops)
    call(monkeypatch, "condense", *DIGITS, *learn, "--save_path", str(tmp_path))
    assert "| Digits  | MLP " in capsys.readouterr().out
