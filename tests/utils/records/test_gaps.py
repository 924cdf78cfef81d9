"""Gaps against accuracies: rank correlations by hand, the table, CSV and plot."""

from __future__ import annotations

import csv
import math

import pytest

from utils.records.gaps import GapRow, correlation_table, correlations, draw_gaps, gap_csv, spearman


def row(selection: str, fraction: float, seed: int, accuracy: float, worst: float) -> GapRow:
    return GapRow(selection, fraction, seed, 0, accuracy, 2 * worst, worst, 1 / worst, worst, 3.0)


ROWS = [
    row("LCMat", 0.1, 0, 90.0, 0.01),
    row("LCMat", 0.1, 1, 92.0, 0.02),
    row("Craig", 0.1, 0, 85.0, 0.30),
    row("Craig", 0.1, 1, 80.0, 0.40),
    row("Uniform", 0.1, 0, 86.0, 0.05),
    row("Uniform", 0.1, 1, 88.0, 0.06),
    row("LCMat", 0.01, 0, 50.0, 5.0),
]


def test_spearman_by_hand():
    """Ranks 1 2 3 4 and 2 1 4 3: ρ = 1 − 6·Σd²/(n(n² − 1)) = 1 − 6·4/60 = 0.6."""
    assert spearman([1.0, 5.0, 6.0, 100.0], [0.2, 0.1, 9.0, 8.0]) == pytest.approx(0.6)
    assert math.isnan(spearman([1.0, 2.0], [1.0, 2.0]))
    assert math.isnan(spearman([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]))


def test_correlations_over_all_within_fractions_and_over_means():
    found = {each.runs: each for each in correlations(ROWS)}
    assert found["all fractions"].count == 7
    within = found["fraction 0.1"]
    # gaps rank 1 2 5 6 3 4, accuracies 5 6 2 1 3 4 (ascending): Σd² = 16 + 16 + 9 + 25 + 0 + 0
    assert within.worst == pytest.approx(1 - 6 * 66 / (6 * 35))
    assert within.gradient == pytest.approx(within.worst)
    assert within.soft_gradient == pytest.approx(-within.worst)
    means = found["fraction 0.1, means over seeds"]
    assert (means.count, means.worst) == (3, pytest.approx(-1.0))
    assert math.isnan(found["fraction 0.01"].worst)


def test_the_table_the_csv_and_the_plot(tmp_path):
    table = correlation_table(ROWS)
    [line] = [line for line in table.splitlines() if line.startswith("| fraction 0.1, means over seeds ")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["3", "-1.00", "-1.00", "+1.00", "-1.00"]
    lines = list(csv.DictReader(gap_csv(ROWS).splitlines()))
    assert len(lines) == 7
    assert (lines[2]["selection"], lines[2]["worst"], lines[2]["accuracy"]) == ("Craig", "0.3", "85")
    draw_gaps(ROWS, tmp_path / "gaps.png")
    assert (tmp_path / "gaps.png").read_bytes()[:4] == b"\x89PNG"
