"""landscape.py as a person calls it."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import FAST, Commands

from utils.data.coreset import Coreset

PROXY = "--dataset Digits --model MLP -se 2 -slr 0.05"
QUICK = f"{PROXY} --points 3 --radius 0.5 --worst_case none"


def folders(commands: Commands, save_path: str = "result") -> list[Path]:
    return sorted((commands.folder / save_path).glob("landscape_*"))


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "landscape.csv").read_text().splitlines()))


def test_methods_are_selected_and_looked_at_beside_the_full_set(commands):
    answer = commands.landscape(f"{QUICK} --selection LCMat Uniform --fraction 0.05 0.1")
    assert answer.status == 0, answer.err
    [folder] = folders(commands)
    names = ["LCMat 0.05", "LCMat 0.1", "Uniform 0.05", "Uniform 0.1"]
    table = rows(folder)
    assert list(table[0]) == ["x", "y", "full set", *names, "standard error of the full set"]
    assert {row["standard error of the full set"] for row in table} == {"0.0"}
    assert "certificate" not in answer.out
    assert len(table) == 9
    assert (folder / "landscape.png").read_bytes()[:4] == b"\x89PNG"
    assert str(folder / "landscape.png") in answer.out
    middle = table[4]
    assert (middle["x"], middle["y"]) == ("0.0", "0.0")
    assert float(middle["full set"]) == min(float(row["full set"]) for row in table)


def test_what_was_measured_is_kept_and_what_is_missing_measured(commands, monkeypatch):
    assert commands.landscape(f"{QUICK} --selection Uniform").status == 0
    [folder] = folders(commands)
    whole = (folder / "landscape.csv").read_text()
    lines = whole.splitlines(keepends=True)
    (folder / "landscape.csv").write_text("".join(lines[:6]))
    passes = []
    measure = "experiments.landscape.surface.image_losses"
    from experiments.landscape.surface import image_losses

    monkeypatch.setattr(measure, lambda *given: passes.append(1) or image_losses(*given))
    assert commands.landscape(f"{QUICK} --selection Uniform").status == 0
    assert (folder / "landscape.csv").read_text() == whole
    assert len(passes) == 4
    (folder / "landscape.csv").write_text(whole.replace("full set", "other"))
    answer = commands.landscape(f"{QUICK} --selection Uniform")
    assert answer.status == 0
    assert "set aside" in answer.err
    assert (folder / "landscape.csv").read_text() == whole


def test_an_interruption_keeps_what_was_measured(commands, monkeypatch):
    from experiments.landscape import surface

    whole = surface.image_losses
    count = iter(range(100))

    def interrupted(*given):
        if next(count) == 5:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(surface, "image_losses", interrupted)
    assert commands.landscape(f"{QUICK} --selection Uniform").status == 130
    [folder] = folders(commands)
    assert len(rows(folder)) == 5


def test_the_last_layer_moves_alone_on_its_embeddings(commands):
    assert commands.landscape(f"{QUICK} --selection Uniform --layers last").status == 0
    assert commands.landscape(f"{QUICK} --selection Uniform").status == 0
    last, whole = sorted(map(rows, folders(commands)), key=lambda table: float(table[0]["full set"]))
    assert float(last[4]["full set"]) == pytest.approx(float(whole[4]["full set"]), rel=1e-6)
    assert float(last[0]["full set"]) != pytest.approx(float(whole[0]["full set"]), rel=1e-2)


def test_runs_are_looked_at_at_the_proxy_that_they_were_selected_through(commands):
    for method in ("LCMat", "Uniform"):
        assert commands.main(f"{FAST} --selection {method} --fraction 0.05 --num_exp 2").status == 0
    answer = commands.landscape(f"--runs {commands.folder / 'result'} --points 3 --worst_case none", "elsewhere")
    assert answer.status == 0, answer.err
    tables = [rows(folder) for folder in folders(commands, "elsewhere")]
    assert [list(table[0])[3:-1] for table in tables] == [["LCMat", "Uniform"]] * 2
    assert len(list((commands.folder / "elsewhere" / "proxies").glob("*.pt"))) == 2


def test_coresets_and_networks_from_files(commands):
    made = commands.folder / "half.npz"
    Coreset(np.arange(0, 1438, 2)).save(made)
    assert commands.landscape(f"{QUICK} --coreset {made}").status == 0
    [proxy] = (commands.folder / "result" / "proxies").glob("*.pt")
    before = proxy.read_bytes()
    answer = commands.landscape(
        f"--dataset Digits --model MLP --points 3 --worst_case none --coreset {made} --network {proxy}", "other"
    )
    assert answer.status == 0, answer.err
    assert not (commands.folder / "other" / "proxies").exists()
    assert proxy.read_bytes() == before
    [first], [second] = folders(commands), folders(commands, "other")
    assert rows(first)[4] == rows(second)[4]


def test_worst_cases_stand_beside_bounds_and_random_coresets(commands, monkeypatch):
    flags = f"{PROXY} --points 3 --layers last --images 60 --random 2 --worst_case all"
    flags += " --selection Herding --fraction 0.02 --directions sharpest --rho 0.01"
    answer = commands.landscape(flags)
    assert answer.status == 0, answer.err
    [folder] = folders(commands)
    with (folder / "worst_cases.csv").open() as file:
        last, whole = csv.DictReader(file)
    assert (last["layers"], whole["layers"], last["rho"]) == ("last", "all", "0.01")
    for row in (last, whole):
        assert 0 < float(row["worst"]) <= 1.01 * float(row["bound"])
        assert float(row["percentile"]) in (0, 50, 100)
        assert float(row["random_worst_mean"]) <= 1.01 * float(row["random_bound_mean"])
    assert float(whole["gradient"]) > float(last["gradient"])
    assert "| Herding |" in answer.out
    before = (folder / "worst_cases.json").read_bytes()
    monkeypatch.setattr("experiments.landscape.worst_cases._measure", None)  # whatever measures now fails the test
    again = commands.landscape(flags)
    assert again.status == 0, again.err
    assert again.out == answer.out
    assert (folder / "worst_cases.json").read_bytes() == before


def test_sharpest_directions_have_the_most_curvature_of_the_difference(commands):
    """The second difference of L(S) − L(T) along d₁ is larger than along a random direction of the same length."""

    def bend(folder: Path, name: str) -> float:
        table = [float(row[name]) - float(row["full set"]) for row in rows(folder)]
        return abs(table[3] - 2 * table[4] + table[5])

    flags = f"{PROXY} --points 3 --radius 0.05 --layers last --worst_case none --selection Uniform --fraction 0.02"
    assert commands.landscape(f"{flags} --directions sharpest").status == 0
    assert commands.landscape(flags, "random").status == 0
    [sharp], [random] = folders(commands), folders(commands, "random")
    assert bend(sharp, "Uniform") > 0
    assert bend(sharp, "Uniform") > bend(random, "Uniform")


@pytest.fixture
def coreset(commands: Commands) -> Path:
    path = commands.folder / "made.npz"
    Coreset(np.array([5, 1, 2000])).save(path)
    return path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--radius 0", "--radius: must be a number in (0, inf), not '0'"),
        ("--radius nan", "--radius: must be a number in (0, inf), not 'nan'"),
        ("--points 1", "--points: must be a whole number from 3 to 1001, not '1'"),
        ("--points 4", "try 5"),
        ("--directions sideways", "choose from random, sharpest"),
        ("--rho 0", "--rho: must be a number in (0, inf), not '0'"),
        ("--random 1", "--random: must be a whole number from 2 to 1000"),
        ("--epochs 3", "unknown flag '--epochs'"),
        ("--network missing.pt --coreset made.npz", "cannot read missing.pt"),
        ("--network made.npz", "holds no network"),
        ("--runs .", "there is no finished run in ."),
        ("--runs . --network made.npz", "exclude each other"),
        ("--coreset made.npz", "is of other data: the coreset names sample 2000"),
        ("--coreset empty.npz", "holds no indices"),
        ("--coreset none.npz", "cannot read none.npz"),
    ],
)
def test_bad_input_ends_in_one_line(commands, coreset, monkeypatch, flags, said):
    monkeypatch.chdir(commands.folder)
    Coreset(np.array([], dtype=np.int64)).save("empty.npz")
    if "--network" in flags:
        Coreset(np.array([5, 1])).save("made.npz")
    answer = commands.landscape(f"{PROXY} {flags}")
    assert said in answer.error
    assert not folders(commands)


def test_a_network_of_other_sizes_is_refused_and_left_alone(commands, monkeypatch):
    monkeypatch.chdir(commands.folder)
    torch.save({"weight": torch.zeros(2, 2)}, "other.pt")
    before = Path("other.pt").read_bytes()
    answer = commands.landscape(f"{PROXY} --network other.pt")
    assert "holds no MLP of these sizes" in answer.error
    assert Path("other.pt").read_bytes() == before


def test_a_coreset_of_other_images_is_refused(commands):
    assert commands.main(f"{FAST} --selection Uniform --fraction 0.05 --label_noise 0.2").status == 0
    [run] = commands.runs()
    coreset = Coreset.load(run / "coreset.npz")
    made = commands.folder / "other.npz"
    dataclasses.replace(coreset, origin=dataclasses.replace(coreset.origin, train_images="0" * 16)).save(made)
    assert "was made of other images" in commands.landscape(f"{PROXY} --coreset {made}").error
    assert not folders(commands)
