"""continual.py as a person calls it: its runs in the tables of all others, its errors, and what it must equal."""

from __future__ import annotations

import functools
import json
import operator
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Commands
from torchrun import torchrun

from utils.records.plots import plot
from utils.records.run_folder import find_runs
from utils.records.tables import load_table

ROOT = Path(__file__).resolve().parents[2]
TRAINING = "--dataset Digits --model MLP --epochs 2 --batch 64 --lr 0.05 --test_interval 1"
QUICK = f"{TRAINING} -se 1 --selection_lr 0.05"


def histories(commands: Commands, pattern: str) -> list[bytes]:
    return [(folder / "history.csv").read_bytes() for folder in commands.runs(pattern)]


def test_all_data_as_memory_is_ordinary_training_bit_for_bit(commands):
    assert commands.main(f"{TRAINING} --selection Full").status == 0
    assert commands.continual(f"{TRAINING} --selection Full --ipc 1000 --order_seed 3").status == 0
    assert commands.continual(f"{TRAINING} --protocol joint").status == 0
    for steps in (f"{TRAINING} --protocol {protocol} --steps 1" for protocol in ("replay", "finetune")):
        assert commands.continual(steps).status == 0
    written = histories(commands, "Digits_*")
    assert len(written) == 5
    assert len(set(written)) == 1


def test_a_table_over_orders_and_a_plot(commands, tmp_path):
    for flags in ("--selection Uniform", "--condensation DM --iterations 2", "--protocol finetune"):
        answer = commands.continual(f"{QUICK} --ipc 2 --order_seed 0 1 2 {flags}")
        assert answer.status == 0, answer.err
    table = load_table([tmp_path / "result"])
    assert [row.config.selection.method for row in table.rows] == ["finetune", "DM", "Uniform"]
    assert all(len(row.summaries) == 3 for row in table.rows)
    assert table.rows[2].scenario == "memory, 5 steps, 2 images a class"
    text = table.markdown()
    for heading in ("scenario", "runs", "average accuracy (%)", "forgetting (%)", "backward transfer (%)"):
        assert f" {heading} " in text
    header, *lines = table.csv().splitlines()
    values = dict(zip(header.split(","), lines[0].split(","), strict=False))
    assert set(values) >= {"average_accuracy_mean", "forgetting_std"}
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in commands.runs("*Uniform*")]
    classes = [summary["continual"]["classes"] for summary in summaries]
    assert all(sorted(functools.reduce(operator.iadd, each, [])) == list(range(10)) for each in classes)
    assert classes[0] != classes[1]
    for summary in summaries:
        assert [len(row) for row in summary["continual"]["matrix"]] == [1, 2, 3, 4, 5]
        assert summary["final_accuracy"] == summary["continual"]["accuracies"][-1]
        assert summary["coreset_size"] == 20
    assert all((folder / "memory.png").exists() for folder in commands.runs("*memory5*"))
    plot(table, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--steps 11", "11 steps do not share out 10 classes"),
        ("--memory 9", "--memory 10"),
        ("--class_order 0,1,2,3,3", "class 3 twice"),
        ("--class_order 0,1,2,3", "each of 0 to 9"),
        ("--class_order 0,one", "class numbers"),
        ("--first_step 8 --steps 5", "first has 8"),
        ("--ipc 2 --memory 20", "leave one of them out"),
        ("--selection LCMat --condensation DM", "leave one of them out"),
        ("--condensation DM --memory 20", "give --ipc"),
        ("--condensation DSA --steps 10", "single class"),
        ("--protocol relay", "replay"),
        ("--condensation LCMatt", "LCMat"),
        ("--fraction 0.1", "--fraction"),
        ("--resume nowhere", "nowhere"),
    ],
)
def test_bad_flags(commands, flags, said):
    assert said in commands.continual(f"{QUICK} {flags}").error
    assert not commands.runs()


def test_flags_without_effect_are_named(commands):
    flags = "--ipc 2 --selection LCMat --class_order 1,0,2,3,4,5,6,7,8,9 --order_seed 1 --iterations 3"
    err = commands.continual(f"{QUICK} --protocol joint {flags}").err
    for name in ("ipc", "selection", "selection_epochs", "order_seed", "iterations"):
        assert f"note: --{name} is not used" in err


def test_a_run_that_was_killed_goes_on_by_its_name(commands, tmp_path):
    flags = f"{QUICK} --protocol replay --ipc 2 --selection LCMat --epochs 30 --checkpoint_interval 0"
    command = [sys.executable, "continual.py", *flags.split(), "--save_path", str(tmp_path / "result")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("result/Digits_*/step_02/training.pt")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    [folder] = commands.runs("Digits_*")
    assert "continual.py" in commands.main(f"--resume {folder}").error
    answer = commands.continual(f"--resume {folder}")
    assert answer.status == 0, answer.err
    assert commands.continual(flags, "undisturbed").status == 0
    [undisturbed] = commands.runs("Digits_*", "undisturbed")
    in_steps = [f"step_0{step}/{name}" for step in range(1, 6) for name in ("history.csv", "memory.npz")]
    for name in ("history.csv", "coreset.npz", *in_steps):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    matrices = [json.loads((path / "summary.json").read_text())["continual"] for path in (folder, undisturbed)]
    assert matrices[0] == matrices[1]
    assert commands.continual(flags).out.splitlines()[-4:] == answer.out.splitlines()[-4:]
    assert commands.main(f"{TRAINING} --selection Uniform --fraction 0.01").status == 0
    [ordinary] = commands.runs("Digits_MLP_Uniform_*")
    assert "main.py" in commands.continual(f"--resume {ordinary}").error


def test_two_processes_come_to_what_one_comes_to(commands, tmp_path):
    flags = f"{QUICK} --steps 2 --protocol replay --ipc 2 --selection Herding --workers 0"
    for way in ("", "--condensation DM --iterations 2"):
        chosen = flags.replace("--selection Herding", way) if way else flags
        done = torchrun("continual.py", *chosen.split(), "--save_path", str(tmp_path / "two"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("| dataset |") == 1
        assert commands.continual(chosen).status == 0
    for one in find_runs(tmp_path / "result"):
        two = tmp_path / "two" / one.path.name
        np.testing.assert_equal(dict(np.load(two / "coreset.npz")), dict(np.load(one.path / "coreset.npz")))
        summary = json.loads((two / "summary.json").read_text())
        assert summary["device"].startswith("2 × CPU")
        np.testing.assert_allclose(summary["continual"]["accuracies"], one.summary.continual.accuracies, atol=2)
    assert not list((tmp_path / "two").rglob("*.pt.damaged"))
