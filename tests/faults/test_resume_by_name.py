"""``--resume PATH`` completes a run with the settings that its folder records."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from attempts import attempt
from fault_points import moment_in
from outcomes import litter, outcome
from reference_runs import COMMANDS, SMALL, Undisturbed

MACHINE = "--workers 0 --print_freq 1 --checkpoint_interval 0"


def killed(told: Undisturbed, save_path: Path, function: str, part: float) -> Path:
    """The folder of a run that was killed."""
    moment = moment_in(told.visits, function, signal.SIGKILL, part)
    command = f"{told.command} --checkpoint_interval 0 --save_path {save_path}"
    assert attempt(command, moment).status == -signal.SIGKILL
    [config] = save_path.glob("*/config.json")
    return config.parent


@pytest.mark.parametrize("script", ["main.py", "cross_network_generalization.py"])
@pytest.mark.parametrize(
    ("function", "part", "name"),
    [
        ("utils/training/trainer.py:_step", 0.4, ""),
        ("methods/select.py:select_nested", 1.0, "config.json"),
        ("utils/training/trainer.py:_step", 1.0, "checkpoint.pt"),
    ],
    ids=["proxy", "selection", "retraining"],
)
def test_a_killed_run(told: Undisturbed, tmp_path: Path, script: str, function: str, part: float, name: str) -> None:
    folder = killed(told, tmp_path / "result", function, part)
    ended = attempt(f"{script} --resume {folder / name} {MACHINE}")
    assert ended.status == 0, ended.err
    assert outcome(tmp_path / "result") == told.outcome
    assert not litter(tmp_path / "result")
    assert (tmp_path / "result" / "cross_networks.png").exists() == script.startswith("cross")
    assert "note:" not in ended.err


@pytest.fixture(scope="module")
def grand(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Ten proxies and a retraining, left alone."""
    return Undisturbed.of(COMMANDS["GraNd"], tmp_path_factory.mktemp("grand"))


@pytest.mark.parametrize("part", [0.25, 0.7, 1.0])
def test_a_run_killed_among_grands_repeats(grand: Undisturbed, tmp_path: Path, part: float) -> None:
    folder = killed(grand, tmp_path / "result", "utils/training/trainer.py:_step", part)
    finished = len(list((tmp_path / "result").glob("proxies/*.pt")))
    assert finished == {0.25: 2, 0.7: 7, 1.0: 10}[part]
    ended = attempt(f"main.py --resume {folder} {MACHINE}")
    assert ended.status == 0, ended.err
    assert outcome(tmp_path / "result") == grand.outcome
    assert not litter(tmp_path / "result")


def test_a_finished_run_is_only_shown(uniform: Undisturbed, tmp_path: Path) -> None:
    assert attempt(f"{uniform.command} --save_path {tmp_path}").status == 0
    [summary] = tmp_path.glob("*/summary.json")
    before = summary.stat().st_mtime_ns
    ended = attempt(f"main.py --resume {summary}")
    assert ended.status == 0
    assert "| Uniform" in ended.out
    assert summary.stat().st_mtime_ns == before


def test_other_settings_are_the_runs_own_and_say_so(uniform: Undisturbed, tmp_path: Path) -> None:
    moment = moment_in(uniform.visits, "utils/training/trainer.py:_step", signal.SIGKILL)
    assert attempt(f"{uniform.command} --save_path {tmp_path}", moment).status == -signal.SIGKILL
    [config] = tmp_path.glob("*/config.json")
    ended = attempt(f"main.py --resume {config.parent} --lr 3 --epochs 7 --save_path {tmp_path / 'other'}")
    assert ended.status == 0
    assert "not used, for a resumed run keeps its own settings: --epochs, --lr, --save_path" in ended.err
    assert outcome(tmp_path) == uniform.outcome
    assert not (tmp_path / "other").exists()


def test_what_is_no_run(uniform: Undisturbed, tmp_path: Path) -> None:
    assert attempt(f"{uniform.command} --save_path {tmp_path / 'result'}").status == 0
    [config] = (tmp_path / "result").glob("*/config.json")
    assert "no run is there" in attempt(f"main.py --resume {tmp_path / 'nowhere'}").error
    assert "no run is there" in attempt(f"main.py --resume {tmp_path / 'result'}").error
    assert "no run is there" in attempt(f"main.py --resume {config.parent / 'checkpoint.pt'}").error
    renamed = config.parent.rename(tmp_path / "renamed")
    assert f"call it {config.parent.name} again" in attempt(f"main.py --resume {renamed}").error
    renamed.rename(config.parent)
    values = json.loads(config.read_text())
    values["run"]["seed"] = 1
    config.write_text(json.dumps(values))
    assert "digest does not match" in attempt(f"main.py --resume {config.parent}").error
    config.write_text("[" * 100_000)
    assert "not valid JSON" in attempt(f"main.py --resume {config.parent}").error


def test_a_run_on_a_coreset_from_elsewhere(uniform: Undisturbed, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", indices=np.arange(0, 1000, 2))
    command = f"main.py {SMALL} --coreset {tmp_path / 'mine.npz'} --save_path {tmp_path / 'result'}"
    assert attempt(command).status == 0
    expected = outcome(tmp_path / "result")
    [folder] = (tmp_path / "result").glob("Digits*")
    (folder / "summary.json").unlink()
    assert attempt(f"main.py --resume {folder}").status == 0
    assert outcome(tmp_path / "result") == expected
    (folder / "coreset.npz").unlink()
    assert "give the file as --coreset again" in attempt(f"main.py --resume {folder}").error
    assert attempt(command).status == 0
    assert outcome(tmp_path / "result") == expected


def test_a_run_selected_by_features_from_a_file(told: Undisturbed, tmp_path: Path) -> None:
    assert attempt(f"{told.command} --save_features --save_path {tmp_path / 'first'}").status == 0
    [features] = (tmp_path / "first").glob("features/*.npz")
    save_path = tmp_path / "second"
    assert attempt(f"{told.command} --features {features} --save_path {save_path}").status == 0
    expected = outcome(save_path)
    [folder] = save_path.glob("Digits*")
    (folder / "coreset.npz").unlink()
    assert "by other --features" in attempt(f"main.py --resume {folder}").error
    other = tmp_path / "other.npz"
    shutil.copy(folder / "selection.json", other)
    assert "by other --features" in attempt(f"main.py --resume {folder} --features {other}").error
    assert attempt(f"main.py --resume {folder} --features {features}").status == 0
    assert outcome(save_path) == expected
