"""The table says what the runs said: means and spreads by hand, nothing averaged that does not belong together."""

from __future__ import annotations

import csv
import io
import shutil
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import finish_run, made_up_config
from PIL import Image

from utils.cli import run_main
from utils.config import RunConfig, TrainingConfig
from utils.errors import UserError
from utils.records.continual_measures import ContinualMeasures
from utils.records.cross_networks import cross_table
from utils.records.groups import Statistic
from utils.records.plots import cross_plot, plot
from utils.records.report import main
from utils.records.run_folder import RunFolder, find_runs
from utils.records.tables import load_table
from utils.scenario import ScenarioConfig


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """LCMat with three seeds at one fraction and one at another, Uniform with two, Full with one."""
    folder = tmp_path / "runs"
    for seed, final in enumerate((80.0, 82.0, 87.0)):
        finish_run(folder, made_up_config(seed=seed), final, best=final + 1, training=10.0 * seed)
    finish_run(folder, made_up_config(fraction=0.01), 50.0)
    for seed, final in enumerate((70.0, 71.0)):
        finish_run(folder, made_up_config("Uniform", seed=seed), final, best=75.0)
    finish_run(folder, made_up_config("Full", fraction=1.0), 99.5)
    return folder


TABLE = """\
| dataset | model | selection | fraction | images | training steps | seeds | final accuracy (%) | best accuracy (%) |
| ------- | ----- | --------- | -------: | -----: | -------------: | ----: | -----------------: | ----------------: |
| Digits  | MLP   | LCMat     |     0.01 |      3 |          1,200 |     1 |          50.00 ± – |         50.00 ± – |
| Digits  | MLP   | LCMat     |      0.1 |      3 |          1,200 |     3 |       83.00 ± 3.61 |      84.00 ± 3.61 |
| Digits  | MLP   | Uniform   |      0.1 |      3 |          1,200 |     2 |       70.50 ± 0.71 |      75.00 ± 0.00 |
| Digits  | MLP   | Full      |        1 |      3 |          1,200 |     1 |          99.50 ± – |         99.50 ± – |"""


def test_table(runs: Path) -> None:
    assert load_table([runs]).markdown() == TABLE


def test_full_comes_last(tmp_path: Path) -> None:
    for method in ("Full", "Uniform"):
        finish_run(tmp_path, made_up_config(method, fraction=1.0), 90.0)
    assert [row["selection"] for row in cells(load_table([tmp_path]).markdown())] == ["Uniform", "Full"]


def test_mean_and_spread_by_hand() -> None:
    """80, 82, 87: mean 83, squared deviations 9 + 1 + 16 = 26, over n - 1 = 2 makes 13."""
    three = Statistic.of([80.0, 82.0, 87.0])
    assert three.mean == 83.0
    assert three.std == pytest.approx(13**0.5, rel=1e-15)
    assert str(Statistic.of([80.0])) == "80.00 ± –"


@given(values=st.lists(st.floats(0, 100), min_size=2, max_size=9))
def test_spread_is_the_sample_standard_deviation(values: list[float]) -> None:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert Statistic.of(values).std == pytest.approx(variance**0.5, abs=1e-6)


def test_csv_has_one_number_a_cell(runs: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(load_table([runs]).csv())))
    assert rows[1] == {
        "dataset": "Digits",
        "model": "MLP",
        "selection": "LCMat",
        "selection_model": "MLP",
        "settings": "",
        "fraction": "0.1",
        "images": "3",
        "training_steps": "1200",
        "seeds": "3",
        "runs": "3",
        "final_mean": "83.0000",
        "final_std": f"{13**0.5:.4f}",
        "best_mean": "84.0000",
        "best_std": f"{13**0.5:.4f}",
        "wrong_labels": "",
        "scenario": "",
        **{f"{name}_{part}": "" for name in ContinualMeasures.NAMES for part in ("mean", "std")},
    }
    assert (rows[0]["final_std"], rows[3]["selection"], rows[3]["selection_model"]) == ("", "Full", "")


def cells(markdown: str) -> list[dict[str, str]]:
    """The rows of the first table in ``markdown``, by column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_wrong_labels_have_a_column_where_there_are_any(tmp_path: Path) -> None:
    noisy = replace(made_up_config().data, label_noise=0.2)
    for seed, share in enumerate((10.0, 15.0)):
        finish_run(tmp_path, replace(made_up_config(seed=seed), data=noisy), 80.0, wrong_labels=share)
    finish_run(tmp_path, made_up_config("Uniform"), 70.0)
    table = load_table([tmp_path])
    shown = [(row["dataset"], row["selection"], row["wrong labels (%)"]) for row in cells(table.markdown())]
    assert shown == [("Digits", "Uniform", "–"), ("Digits, label noise 0.2", "LCMat", "12.5")]
    assert [row["wrong_labels"] for row in csv.DictReader(io.StringIO(table.csv()))] == ["", "12.5000"]


def test_a_pruned_selection_says_so(tmp_path: Path) -> None:
    plain = made_up_config("Uniform")
    pruned = replace(plain.selection, model="MLP", prune="hardest:0.2", score="AUM")
    finish_run(tmp_path, plain, 70.0)
    finish_run(tmp_path, replace(plain, selection=pruned), 80.0)
    labels = {row.label for row in load_table([tmp_path]).rows}
    assert labels == {"Uniform", "Uniform, prune=hardest:0.2, score=AUM"}


def test_right_and_wrong_labels_are_two_data_sets_in_tables_and_plots(tmp_path: Path) -> None:
    for noise in (None, 0.2):
        config = made_up_config()
        finish_run(tmp_path, replace(config, data=replace(config.data, label_noise=noise)), 80.0)
    table = load_table([tmp_path])
    assert [row.label for row in table.rows] == ["LCMat", "LCMat"]
    plot(replace(table, rows=table.rows[:1]), tmp_path / "one.png")
    plot(table, tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width > 1.5 * one.width  # a panel each


def test_time_and_memory_are_medians(runs: Path) -> None:
    row = cells(load_table([runs]).markdown(time=True))[1]
    wanted = {"proxy (s)": "0.0", "selection (s)": "0.0", "training (s)": "10.0", "peak memory (MB)": "250"}
    assert wanted.items() <= row.items()
    assert "features (s)" in row
    assert list(csv.DictReader(io.StringIO(load_table([runs]).csv(time=True))))[1]["training (s)"] == "10.0"


def test_groups_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    finish_run(tmp_path, made_up_config(options={"eps": 0.05, "num_dims": 100}), 80.0)
    finish_run(tmp_path, made_up_config(options={"eps": 0.01, "num_dims": 100}), 70.0)
    slower = TrainingConfig(epochs=9)
    finish_run(tmp_path, made_up_config("Uniform", training=slower), 60.0)
    finish_run(tmp_path, made_up_config("Uniform"), 50.0)
    finish_run(tmp_path, made_up_config("Herding"), 40.0)
    rows = cells(load_table([tmp_path]).markdown())
    assert [(row["settings"], row["final accuracy (%)"]) for row in rows] == [
        ("", "40.00 ± –"),
        ("eps=0.01", "70.00 ± –"),
        ("eps=0.05", "80.00 ± –"),
        ("epochs=2", "50.00 ± –"),
        ("epochs=9", "60.00 ± –"),
    ]


def test_every_table_says_the_options_of_its_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of one eps names it, whatever the flag's default; of several, data sets or not, each row does."""
    options = {"eps": 0.01, "num_dims": 100, "weighted": False}
    finish_run(tmp_path, made_up_config(options=options), 80.0)
    finish_run(tmp_path, made_up_config("Uniform"), 70.0)
    for flags in ([], ["--cross"], ["--against", "Uniform"]):
        main([str(tmp_path), *flags])
        assert capsys.readouterr().out.splitlines()[-1] == "Options: LCMat eps=0.01, num_dims=100."
    finish_run(tmp_path, made_up_config(dataset="CIFAR10", options={**options, "eps": 0.05}), 80.0)
    table = load_table([tmp_path])
    assert [row.settings for row in table.rows] == ["eps=0.05", "eps=0.01", ""]
    assert table.notes() == ["Options: LCMat num_dims=100."]


def test_a_setting_of_the_proxy_goes_by_its_flag(tmp_path: Path) -> None:
    config = made_up_config()
    assert config.selection.proxy is not None
    proxy = replace(config.selection.proxy, optimizer=replace(config.selection.proxy.optimizer, name="Adam"))
    finish_run(tmp_path, config, 80.0)
    finish_run(tmp_path, replace(config, selection=replace(config.selection, proxy=proxy)), 80.0)
    rows = cells(load_table([tmp_path]).markdown())
    assert [row["settings"] for row in rows] == ["selection_optimizer=Adam", "selection_optimizer=SGD"]


def test_the_selecting_network_is_shown_where_it_differs(tmp_path: Path) -> None:
    finish_run(tmp_path, made_up_config(), 80.0)
    finish_run(tmp_path, made_up_config("Uniform"), 80.0)
    assert "selected with" not in load_table([tmp_path]).markdown()
    finish_run(tmp_path, made_up_config(selection_model="LeNet"), 90.0)
    rows = cells(load_table([tmp_path]).markdown())
    assert [(row["selected with"], row["final accuracy (%)"]) for row in rows] == [
        ("LeNet", "90.00 ± –"),
        ("MLP", "80.00 ± –"),
        ("–", "80.00 ± –"),
    ]


def test_repeats_count_as_runs_not_as_seeds(tmp_path: Path) -> None:
    for seed in range(2):
        for repeat in range(3):
            finish_run(tmp_path, made_up_config(seed=seed, repeat=repeat), 80.0 + repeat)
    [row] = cells(load_table([tmp_path]).markdown())
    assert (row["seeds"], row["runs"]) == ("2", "6")
    assert row["final accuracy (%)"] == f"81.00 ± {statistics.stdev([80, 81, 82] * 2):.2f}"


def test_failed_and_unfinished_runs_are_counted_and_never_averaged(runs: Path) -> None:
    with RunFolder(made_up_config(seed=7), runs) as run:
        run.fail("the loss became nan")
    with RunFolder(made_up_config(seed=8), runs):
        pass
    assert load_table([runs]).markdown() == f"{TABLE}\n\nLeft out: 1 failed, 1 unfinished."


def test_a_copied_run_is_no_second_sample(runs: Path, tmp_path: Path) -> None:
    assert load_table([runs, runs, next(runs.iterdir())]).markdown() == TABLE
    shutil.copytree(runs, tmp_path / "copies")
    assert load_table([runs, tmp_path / "copies"]).markdown() == f"{TABLE}\n\nFound again and counted once: 7."


def on_images(train: str, **settings: int) -> RunConfig:
    config = made_up_config(**settings)  # type: ignore[arg-type]
    return replace(config, data=replace(config.data, train_images=train, test_images="10-b"))


def test_seeds_of_two_data_sets_are_not_averaged(tmp_path: Path) -> None:
    finish_run(tmp_path / "one", on_images("60-a", seed=0), 80.0)
    finish_run(tmp_path / "one", on_images("60-c", seed=1), 90.0)
    finish_run(tmp_path / "two", on_images("60-c", seed=0), 92.0)  # no copy of the first
    rows = cells(load_table([tmp_path / "one", tmp_path / "two"]).markdown())
    assert [(row["settings"], row["seeds"], row["final accuracy (%)"]) for row in rows] == [
        ("train_images=60-a", "1", "80.00 ± –"),
        ("train_images=60-c", "2", "91.00 ± 1.41"),
    ]
    assert "91.00 ± 1.41" in cross_table(find_runs(tmp_path / "one") + find_runs(tmp_path / "two"))


def test_runs_of_earlier_versions_go_with_those_of_the_only_data_known(tmp_path: Path) -> None:
    finish_run(tmp_path, made_up_config(seed=0), 80.0)
    finish_run(tmp_path, on_images("60-a", seed=1), 82.0)
    [row] = cells(load_table([tmp_path]).markdown())
    assert row["final accuracy (%)"] == "81.00 ± 1.41"
    finish_run(tmp_path, on_images("60-c", seed=2), 90.0)
    assert [row.final.mean for row in load_table([tmp_path]).rows] == [80.0, 82.0, 90.0]


def test_what_was_not_tested_is_said(tmp_path: Path) -> None:
    finish_run(tmp_path, made_up_config(training=TrainingConfig(test_interval=10)), 80.0)
    assert load_table([tmp_path]).notes() == ["Tested every 10 epochs."]
    finish_run(tmp_path, made_up_config("Uniform", training=TrainingConfig(test_interval=0, test_fraction=0.5)), 80.0)
    assert load_table([tmp_path]).notes() == [
        "Tested only after the last epoch (1 of 2 rows).",
        "Tested every 10 epochs (1 of 2 rows).",
        "Tested on a fraction of 0.5 of the test images (1 of 2 rows).",
    ]


def test_contact_sheets_are_linked(runs: Path) -> None:
    folder = find_runs(runs)[0].path
    (folder / "contact_sheet.png").touch()
    lines = load_table([runs]).markdown().splitlines()
    assert lines[-1] == f"- [{folder.name}]({folder}/contact_sheet.png)"


def test_a_bar_in_a_setting_does_not_break_the_table(tmp_path: Path) -> None:
    for path in ("a|b", "c"):
        finish_run(tmp_path, made_up_config(dataset="ImageFolder", data_path=path), 80.0)
    assert "| data_path=a\\|b |" in load_table([tmp_path]).markdown()


def test_nothing_found_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no complete run in .*nothing \(0 failed, 0 unfinished\)"):
        (tmp_path / "nothing").mkdir()
        load_table([tmp_path / "nothing"])
    with pytest.raises(UserError, match=r"there is no .*nowhere"):
        load_table([tmp_path / "nowhere"])


def test_command_line(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "accuracy.png"
    assert run_main(lambda: main([str(runs), "--plot", str(picture)])) == 0
    assert capsys.readouterr().out == f"{TABLE}\n"
    assert is_picture(picture)
    assert run_main(lambda: main([str(runs), "--csv"])) == 0
    assert capsys.readouterr().out == load_table([runs]).csv()
    assert run_main(lambda: main([str(runs), "--cross", "--plot", str(picture)])) == 0
    assert "final accuracy (%) of each trained network" in capsys.readouterr().out
    assert run_main(lambda: main([str(tmp_path / "nowhere")])) == 2
    assert capsys.readouterr().err == f"error: there is no {tmp_path / 'nowhere'} to report on\n"


def is_picture(path: Path) -> bool:
    """Whether the file is a PNG of some size with more than one colour."""
    with Image.open(path) as image:
        image.load()
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        return image.format == "PNG" and min(image.size) > 300 and colours is not None and len(colours) > 20


def many_methods(folder: Path) -> None:
    for method in ("LCMat", "Craig", "Glister", "Cal", "GraNd", "Herding", "Forgetting", "DeepFool", "Uniform", "Full"):
        for model in ("MLP", "LeNet"):
            for fraction in (1.0,) if method == "Full" else (0.001, 0.01, 0.0101, 0.3):
                finish_run(folder, made_up_config(method, model=model, fraction=fraction), 50.0 + 40 * fraction)


def only_full(folder: Path) -> None:
    finish_run(folder, made_up_config("Full", fraction=1.0), 90.0)


@pytest.mark.parametrize("make", [many_methods, only_full])
def test_plot(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    plot(load_table([tmp_path]), tmp_path / "pictures" / "accuracy.PNG")
    assert is_picture(tmp_path / "pictures" / "accuracy.PNG")


def test_plot_is_a_png_or_nothing(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.png"):
        plot(load_table([runs]), tmp_path / "accuracy.pdf")
    with pytest.raises(UserError, match="cannot write"):
        plot(load_table([runs]), next(runs.iterdir()) / "config.json" / "accuracy.png")


@pytest.fixture
def crossed(tmp_path: Path) -> Path:
    """Two networks select and are trained; Uniform needs none, and one cell is missing."""
    folder = tmp_path / "crossed"
    for seed in range(2):
        for selecting, trained, final in (("MLP", "MLP", 80.0), ("MLP", "LeNet", 70.0), ("LeNet", "MLP", 60.0)):
            finish_run(folder, made_up_config(selection_model=selecting, model=trained, seed=seed), final + seed)
    finish_run(folder, made_up_config("Uniform", model="LeNet"), 50.0)
    return folder


def test_cross_table(crossed: Path) -> None:
    assert (
        cross_table(find_runs(crossed))
        == """\
Digits, fraction 0.1: final accuracy (%) of each trained network, mean ± std of 1–2 runs

| selection | selected with |        LeNet |          MLP |
| --------- | ------------- | -----------: | -----------: |
| LCMat     | LeNet         |            – | 60.50 ± 0.71 |
| LCMat     | MLP           | 70.50 ± 0.71 | 80.50 ± 0.71 |
| Uniform   | –             |    50.00 ± – |            – |"""
    )


def test_cross_tables_part_fractions_and_settings(crossed: Path) -> None:
    for eps in (0.01, 0.05):
        finish_run(crossed, made_up_config("Craig", fraction=0.2, options={"eps": eps}), 90.0)
    first, second = cross_table(find_runs(crossed)).split("\n\nDigits, ")
    assert "settings" not in first
    assert second.startswith("fraction 0.2")
    assert [row["settings"] for row in cells(second)] == ["eps=0.01", "eps=0.05"]


def test_cross_table_parts_networks_that_were_trained_otherwise(tmp_path: Path) -> None:
    finish_run(tmp_path, made_up_config("Uniform", model="MLP"), 80.0)
    finish_run(tmp_path, made_up_config("Uniform", model="LeNet", training=TrainingConfig(epochs=9)), 90.0)
    rows = cells(cross_table(find_runs(tmp_path)))
    assert [(row["settings"], row["MLP"], row["LeNet"]) for row in rows] == [
        ("epochs=2", "80.00 ± –", "–"),
        ("epochs=9", "–", "90.00 ± –"),
    ]


def test_cross_tables_part_scenarios(crossed: Path) -> None:
    sizes = ({}, {"ipc": 1}, {"ipc": 2})
    for scenario, final in zip(sizes, (10.0, 20.0, 40.0), strict=True):
        of_steps = ScenarioConfig(steps=1, **scenario) if scenario else None
        finish_run(crossed, made_up_config("Craig", scenario=of_steps), final)
    ordinary, *memories = cross_table(find_runs(crossed)).split("\n\nDigits, memory, 1 step, ")
    assert "10.00 ± –" in ordinary
    for text, size, final in zip(memories, ("1 image a class", "2 images a class"), ("20.00", "40.00"), strict=True):
        assert text.startswith(f"{size}: final accuracy")
        assert [row["MLP"] for row in cells(text)] == [f"{final} ± –"]


def test_cross_plot(crossed: Path, tmp_path: Path) -> None:
    cross_plot(find_runs(crossed), tmp_path / "matrix.png")
    assert is_picture(tmp_path / "matrix.png")
    with pytest.raises(UserError, match="no complete run"):
        cross_plot([], tmp_path / "none.png")
