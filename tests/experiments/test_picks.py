"""What selections picked, counted one image at a time from the proxy that they share."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import main as program
from experiments.arguments import parse
from experiments.picks import main, picks_of
from experiments.selection import Selection
from utils.data.batches import Batches
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.records.picks import Picks, PicksRow, draw_picks, picks_csv, picks_markdown
from utils.records.run_folder import find_runs
from utils.training.machine import Machine

FRACTION = 0.05


def run(folder: Path, *flags: str) -> None:
    line = [
        "--dataset",
        "Digits",
        "--model",
        "MLP",
        "--fraction",
        str(FRACTION),
        "--epochs",
        "1",
        "--test_interval",
        "0",
    ]
    settings = parse([*line, "--save_path", str(folder), *flags], program="main.py", description="")
    program.select_and_train(settings, Machine.of(settings.execution))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uniform and three selections that look through one proxy, each in its own way."""
    folder = tmp_path_factory.mktemp("runs")
    proxy = ("-se", "2")
    run(folder, "--selection", "Uniform")
    run(folder, "--selection", "LCMat", "--scoring", "evaluation", *proxy)
    run(folder, "--selection", "LCMat", "--scoring", "temperature", "--temperature", "5", *proxy)
    run(folder, "--selection", "EL2N", *proxy)
    return folder


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two nearest in order, by hand."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def test_picks_are_counted_one_by_one(runs):
    found = {(run.config.selection.method, run.config.selection.scoring): run for run in find_runs(runs)}
    machine = Machine.of(parse(["--save_path", str(runs)], program="", description="").execution)
    selection = Selection(found["LCMat", "evaluation"].config, [FRACTION], machine)
    network, wrong, norms = selection.proxy.network, set(), {"evaluation": [], "temperature": []}
    with torch.no_grad():
        for index, y in enumerate(selection.data.train.labels.tolist()):
            (batch,) = Batches(selection.data.train, selection.data.spec, torch.tensor([index]), 1, device="cpu")
            logits = network(batch.x)[0].double()
            if int(logits.argmax()) != y:
                wrong.add(index)
            embedding = torch.cat([torch.ones(1), network.embed(batch.x)[0]]).double()
            for scoring, temperature in (("evaluation", 1), ("temperature", 5)):
                residual = (logits / temperature).softmax(0) - torch.eye(10, dtype=torch.float64)[y]
                norms[scoring].append(float(torch.outer(residual, embedding).norm()))
    picks = picks_of(list(found.values()), machine)
    drawn = Coreset.load(found["Uniform", "evaluation"].path / "coreset.npz").indices.tolist()
    for (method, scoring), run in found.items():
        indices, mine = Coreset.load(run.path / "coreset.npz").indices.tolist(), picks[run.path]
        shared = 100 * sum(index in drawn for index in indices) / len(indices)
        assert mine.wrong == pytest.approx(100 * sum(index in wrong for index in indices) / len(indices))
        assert mine.wrong_of_all == pytest.approx(100 * len(wrong) / len(selection.data.train))
        assert mine.shared == (None if method == "Uniform" else pytest.approx(shared))
        quantiles = [quantile(norms[scoring], share) for share in (0.05, 0.5, 0.95)]
        assert mine.norms == (pytest.approx(quantiles, rel=1e-4) if method == "LCMat" else None)


def test_rows_are_means_over_seeds():
    row = PicksRow("LCMat", [Picks(10.0, 20.0, (1.0, 2.0, 3.0), 4.0), Picks(14.0, 22.0, (2.0, 4.0, 6.0), 8.0)])
    (line,) = csv.DictReader(io.StringIO(picks_csv([row])))
    assert (line["wrong_mean"], line["wrong_of_all"], line["shared_mean"], line["seeds"]) == ("12", "21", "6", "2")
    assert [line[f"norm_{q}"] for q in (5, 50, 95)] == ["1.5", "3", "4.5"]
    assert float(line["wrong_std"]) == pytest.approx(np.std([10, 14], ddof=1), abs=1e-3)
    assert "12.00 ± 2.83" in picks_markdown([row])


def test_the_command_prints_and_draws(runs, tmp_path, capsys):
    main([str(runs), "--plot", str(tmp_path / "picks.png")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[2].startswith("| Uniform")
    assert (tmp_path / "picks.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"no complete run has --fraction 0\.3; there are \[0\.05\]"):
        main([str(runs), "--fraction", "0.3"])
    with pytest.raises(UserError, match="as PNG"):
        draw_picks([PicksRow("Uniform", [Picks(1.0, 1.0, None, None)])], tmp_path / "picks.pdf")


def test_without_a_proxy_nothing_says_what_is_wrong(tmp_path):
    run(tmp_path, "--selection", "Uniform")
    with pytest.raises(UserError, match="no run of seed 0 has a proxy"):
        main([str(tmp_path)])
