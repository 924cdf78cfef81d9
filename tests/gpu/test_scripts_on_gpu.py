"""Every entry script on a GPU, from the command line to the table."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from experiments import picks
from experiments.landscape import prediction

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
    summary, selection = (
        json.loads((coreset.parent / f"{name}.json").read_text()) for name in ("summary", "selection")
    )
    assert summary["device"] == "pretended GPU"
    assert summary["peak_memory_bytes"] >= selection["peak_memory_bytes"] > 0


@pytest.mark.parametrize(
    "flags",
    [
        ("--model", "ResNet8", "--scoring", "class_batches", "--selection", "LCMat"),
        ("--save_features", "FOLDER", "--selection", "Craig"),
        ("--save_features", "true", "--selection", "LCMatGC"),
        ("--scoring", "temperature", "--temperature", "3", "--partitions", "2", "--selection", "LCMat"),
        ("--val", "--selection", "Glister"),
        ("--prune", "hardest:0.2", "--score", "EL2N", "--save_scores", "--selection", "Herding"),
        ("--label_noise", "0.2", "--selection", "Forgetting", "--balance", "no"),
        ("--selection", "GraNd", "-se", "0"),
    ],
    ids=lambda flags: flags[-1],
)
def test_ways_to_look_through_a_proxy(gpu, monkeypatch, tmp_path: Path, capsys, flags):
    flags = tuple(str(tmp_path / "features") if flag == "FOLDER" else flag for flag in flags)
    flags = (*DIGITS, "--save_path", str(tmp_path), "--fraction", "0.02", "-se", "1", "-sb", "256", *flags)
    call(monkeypatch, "main", *flags)
    assert "| Digits" in capsys.readouterr().out


def test_files_of_a_run_are_read_on_a_gpu(gpu, monkeypatch, tmp_path: Path, capsys):
    flags = (*DIGITS, "--save_path", str(tmp_path), "--fraction", "0.02")
    kept = ("--save_features", "true", "--save_network", "--save_scores")
    call(monkeypatch, "main", *flags, "--selection", "LCMat", "-se", "1", *kept)
    (features,), (scores,), (network,) = (
        list(tmp_path.glob(pattern)) for pattern in ("features/*.npz", "*/scores.npz", "*/network.pt")
    )
    for given in (("--features", features), ("--proxy", network)):
        call(monkeypatch, "main", *flags, "--selection", "LCMat", *map(str, given))
    call(monkeypatch, "main", *flags, "--selection", "CCS", "--scores", str(scores), "--score", "EL2N")
    assert len(list(tmp_path.glob("*/coreset.npz"))) == 4


def test_deterministic_runs_are_runs_of_their_own(gpu, monkeypatch, tmp_path: Path, capsys):
    flags = (*DIGITS, "--save_path", str(tmp_path), "--fraction", "0.02", "--selection", "LCMat", "-se", "1")
    call(monkeypatch, "main", *flags)
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    call(monkeypatch, "main", *flags, "--deterministic")
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    recorded = [json.loads(path.read_text())["run"]["training"] for path in tmp_path.glob("*/config.json")]
    assert sorted(each["deterministic"] for each in recorded) == [False, True]
    assert len(list((tmp_path / "proxies").glob("*.pt"))) == 2
    learn = ("--method", "DSA", "--ipc", "1", "--iterations", "1", "--strategy", "scale")
    with pytest.raises(RuntimeError, match="grid_sampler_2d_backward_cuda does not have a deterministic"):
        call(monkeypatch, "condense", *DIGITS, *learn, "--deterministic", "--save_path", str(tmp_path))


@pytest.mark.parametrize("method", ["LCMat", "DC", "DSA", "DM"])
def test_condense_and_train(gpu, monkeypatch, tmp_path: Path, capsys, method):
    loops = () if method == "DM" else ("--outer", "2", "--inner", "1")
    learn = ("--method", method, "--ipc", "2", "--iterations", "2", "--real_batch", "4", *loops)
    call(monkeypatch, "condense", *DIGITS, *learn, "--save_path", str(tmp_path))
    assert "| Digits  | MLP " in capsys.readouterr().out


@pytest.mark.parametrize(
    "memory",
    [
        ("--protocol", "memory", "--selection", "LCMat", "-se", "1"),
        ("--protocol", "replay", "--condensation", "DM", "--iterations", "1"),
        ("--protocol", "finetune"),
    ],
    ids=lambda flags: flags[1],
)
def test_learn_classes_step_by_step(gpu, monkeypatch, tmp_path: Path, capsys, memory):
    steps = ("--steps", "2", *(() if "finetune" in memory else ("--ipc", "2")))
    call(monkeypatch, "continual", *DIGITS, *steps, *memory, "--save_path", str(tmp_path))
    assert "average accuracy (%)" in capsys.readouterr().out
    (summary,) = tmp_path.glob("*/summary.json")
    assert "pretended GPU" in summary.read_text()


@pytest.mark.parametrize(
    "view",
    [("--worst_case", "last"), ("--worst_case", "all", "--directions", "sharpest", "--images", "30")],
    ids=lambda flags: flags[1],
)
def test_look_at_the_losses_of_coresets(gpu, monkeypatch, tmp_path: Path, capsys, view):
    around = ("--dataset", "Digits", "--model", "MLP", "-se", "1", "--points", "3", "--radius", "0.5", "--random", "2")
    around += ("--selection", "LCMat", "--fraction", "0.02")
    call(monkeypatch, "landscape", *around, *view, "--save_path", str(tmp_path))
    (folder,) = tmp_path.glob("landscape_*")
    losses = list(csv.DictReader((folder / "landscape.csv").read_text().splitlines()))
    assert len({row["full set"] for row in losses}) == len(losses) == 9
    assert (folder / "landscape.png").read_bytes()[:4] == b"\x89PNG"
    worst = list(csv.DictReader((folder / "worst_cases.csv").read_text().splitlines()))
    assert {row["coreset"] for row in worst} == {"LCMat"}
    assert all(float(row["worst"]) > 0 for row in worst)


def test_look_at_finished_runs(gpu, tmp_path: Path, monkeypatch, capsys):
    flags = (*DIGITS, "--save_path", str(tmp_path), "--fraction", "0.02", "-se", "1", "-sb", "256")
    for method in ("LCMat", "Craig", "Uniform"):
        call(monkeypatch, "main", *flags, "--selection", method)
    prediction.main([str(tmp_path)])
    assert "| fraction 0.02, means over seeds |" in capsys.readouterr().out
    picks.main([str(tmp_path)])
    assert "| Uniform " in capsys.readouterr().out
