"""Differences seed by seed, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_runs import finish_run, made_up_config
from matplotlib.figure import Figure
from PIL import Image

from utils.config import TrainingConfig
from utils.errors import UserError
from utils.records import plots
from utils.records.paired_differences import paired_differences
from utils.records.report import main
from utils.records.tables import load_table
from utils.scenario import ScenarioConfig


def record(folder: Path, method: str, accuracies: dict[int, float], **changes: object) -> None:
    for seed, accuracy in accuracies.items():
        finish_run(folder, made_up_config(method, seed=seed, **changes), final=accuracy)  # type: ignore[arg-type]


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, "Uniform", {0: 50.0, 1: 60.0, 2: 70.0})
    record(tmp_path, "LCMat", {0: 54.0, 1: 62.0, 3: 99.0})  # seed 3 has no partner
    record(tmp_path, "Craig", {2: 69.0})
    craig, lcmat = paired_differences(load_table([tmp_path]), "Uniform")
    assert (lcmat.difference.mean, lcmat.difference.count) == (3.0, 2)
    assert lcmat.standard_error == pytest.approx(1.0)  # std √2 over √2
    assert str(lcmat) == "+3.00 ± 1.00"
    assert str(craig) == "-1.00 ± –"
    main([str(tmp_path), "--against", "Uniform"])
    printed = capsys.readouterr().out
    assert "+3.00 ± 1.00" in printed
    assert "less that of Uniform" in printed


def test_only_runs_of_the_same_training_and_fraction_are_pairs(tmp_path: Path) -> None:
    record(tmp_path, "Uniform", {0: 50.0}, fraction=0.1)
    record(tmp_path, "Uniform", {0: 10.0}, fraction=0.2)
    record(tmp_path, "LCMat", {0: 55.0}, fraction=0.2)
    record(tmp_path, "LCMat", {0: 99.0}, fraction=0.1, training=TrainingConfig(epochs=2, batch=7))
    [only] = paired_differences(load_table([tmp_path]), "Uniform")
    assert (only.row.fraction, only.difference.mean) == (0.2, 45.0)


def test_scenarios_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, scenario in enumerate((None, ScenarioConfig(steps=1, ipc=1), ScenarioConfig(steps=1, ipc=2))):
        record(tmp_path, "Uniform", {0: 50.0}, scenario=scenario)
        record(tmp_path, "LCMat", {0: 51.0 + number}, scenario=scenario)
    main([str(tmp_path), "--against", "Uniform"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "LCMat" in line]
    shown = {(cells[3].strip(), cells[-2].strip()) for cells in (line.split("|") for line in lines)}
    first, *memories = sorted(shown)
    assert first == ("", "+1.00 ± –")
    assert memories == [
        ("memory, 1 step, 1 image a class", "+2.00 ± –"),
        ("memory, 1 step, 2 images a class", "+3.00 ± –"),
    ]


def test_nothing_to_compare_is_said_in_one_line(tmp_path: Path) -> None:
    record(tmp_path, "LCMat", {0: 55.0})
    with pytest.raises(UserError, match="no complete run of Uniform"):
        paired_differences(load_table([tmp_path]), "Uniform")
    record(tmp_path, "Uniform", {1: 50.0})
    with pytest.raises(UserError, match="no run shares"):
        paired_differences(load_table([tmp_path]), "Uniform")


def test_they_are_drawn_one_line_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fraction in (0.1, 0.2):
        record(tmp_path, "Uniform", {0: 50.0, 1: 60.0}, fraction=fraction)
        record(tmp_path, "LCMat", {0: 54.0, 1: 62.0}, fraction=fraction)
        record(tmp_path, "Craig", {0: 49.0}, fraction=fraction)
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: drawn.append(figure))
    main([str(tmp_path), "--against", "Uniform", "--plot", str(tmp_path / "plot.png")])
    [axis] = drawn[0].axes
    lines = {container.get_label(): container.lines[0] for container in axis.containers}
    assert list(lines["LCMat"].get_xdata()) == [0.1, 0.2]
    assert list(lines["LCMat"].get_ydata()) == [3.0, 3.0]
    assert list(lines["Craig"].get_ydata()) == [-1.0, -1.0]
    assert "standard error" in axis.get_ylabel()


def test_a_legend_of_long_names_takes_nothing_from_the_panel(tmp_path: Path) -> None:
    for method in ("LCMat", "Craig", "Herding", "Uniform", "GradMatch", "AdaCore"):
        record(tmp_path, method, {0: 50.0})
    record(tmp_path, "LCMat", {0: 50.0}, options={"eps": 0.25})
    main([str(tmp_path), "--plot", str(tmp_path / "plot.png")])
    with Image.open(tmp_path / "plot.png") as image:
        wide = image.width
    longest = max(len(row.label) for row in load_table([tmp_path]).rows)
    assert longest > len("GradMatch")
    assert wide > 150 * (4.8 + 0.08 * longest)
