"""Gaps of coresets against the accuracy of networks trained on them: a table of rank correlations, CSV and plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from matplotlib.ticker import NullFormatter

from utils.records.groups import group
from utils.records.plots import COLOURS, MARKERS, new_figure, save_figure
from utils.records.tables import Column, markdown


@dataclass(frozen=True)
class GapRow:
    """One run: the gap of its coreset in the last layer of its proxy, and the accuracy that came of it.

    Attributes:
        selection: the method and its settings.
        accuracy: the final one, in percent.
        gradient: ‖∇L(T) − ∇L(S)‖₂ at the proxy.
        worst: the worst change of the difference of losses (see utils.landscape).
        soft_gradient, soft_worst: the same at the proxy with its logits divided by the temperature.
        temperature: that ``--temperature auto`` finds.
    """

    selection: str
    fraction: float
    seed: int
    repeat: int
    accuracy: float
    gradient: float
    worst: float
    soft_gradient: float
    soft_worst: float
    temperature: float


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of accuracy with each gap, over some runs."""

    runs: str
    count: int
    gradient: float
    worst: float
    soft_gradient: float
    soft_worst: float


_GAPS: dict[str, str] = {
    "gradient": "gradient gap",
    "worst": "worst change",
    "soft_gradient": "gradient gap, softened",
    "soft_worst": "worst change, softened",
}


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation of two rows of numbers, NaN where one of them is constant or too short."""
    from scipy.stats import spearmanr  # here, because it takes a while

    if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return math.nan
    return float(spearmanr(a, b).statistic)


def correlations(rows: Sequence[GapRow]) -> list[Correlation]:
    """Return the correlations over all runs, over those of each fraction, and over the means of methods in each.

    Fewer images mean larger gaps and lower accuracies: over all fractions a correlation says little else.
    """
    parts = [("all fractions", list(rows))]
    for same in group(sorted(rows, key=lambda row: row.fraction), lambda row: row.fraction):
        parts.append((f"fraction {same[0].fraction:g}", same))
        parts.append((f"fraction {same[0].fraction:g}, means over seeds", [_mean(of) for of in group(same, _method)]))
    return [_correlation(name, part) for name, part in parts]


def correlation_table(rows: Sequence[GapRow]) -> str:
    """Return the correlations as a markdown table."""
    columns = [
        Column("runs", lambda row: row.runs),
        Column("points", lambda row: str(row.count), number=True),
        *(Column(title, _number(name), number=True) for name, title in _GAPS.items()),
    ]
    return markdown(columns, correlations(rows))


def gap_csv(rows: Sequence[GapRow]) -> str:
    """Return a line for each run, one number a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(each.name for each in fields(GapRow))
    writer.writerows([f"{cell:.5g}" if isinstance(cell, float) else cell for cell in astuple(row)] for row in rows)
    return text.getvalue()


def draw_gaps(rows: Sequence[GapRow], path: Path) -> None:
    """Draw the final accuracy over the worst change as a PNG, at the proxy and at the softened one.

    A colour stands for a fraction, a marker for a method.

    Raises:
        UserError: ``path`` does not end in .png or cannot be written.
    """
    figure = new_figure(11, 4.8)
    fractions, methods = sorted({row.fraction for row in rows}), sorted({row.selection for row in rows})
    axes = figure.subplots(1, 2, sharey=True)
    for axis, name in zip(axes, ("worst", "soft_worst"), strict=True):
        for row in rows:
            colour = COLOURS[fractions.index(row.fraction) % len(COLOURS)]
            marker = MARKERS[methods.index(row.selection) % len(MARKERS)]
            face = colour if methods.index(row.selection) < len(MARKERS) else "none"
            axis.plot(
                max(getattr(row, name), 1e-12),
                row.accuracy,
                marker,
                color=colour,
                markerfacecolor=face,
                markersize=5,
                alpha=0.75,
            )
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        within = [each for each in correlations(rows) if "," not in each.runs and each.runs != "all fractions"]
        rho = ", ".join(f"{getattr(each, name):+.2f}" for each in within)
        where = "the proxy" if name == "worst" else "the proxy with softened logits"
        axis.set_title(f"at {where}\nSpearman within fractions: {rho}", fontsize=10)
        axis.set_xlabel("measured worst change, last layer")
    axes[0].set_ylabel("final test accuracy (%)")
    for fraction in fractions:
        axes[0].plot(
            [], [], "s", color=COLOURS[fractions.index(fraction) % len(COLOURS)], label=f"fraction {fraction:g}"
        )
    for number, method in enumerate(methods):
        face = "#555555" if number < len(MARKERS) else "none"
        marker = MARKERS[number % len(MARKERS)]
        axes[0].plot([], [], marker, color="#555555", markerfacecolor=face, label=method)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    save_figure(figure, path)


def _method(row: GapRow) -> str:
    return row.selection


def _mean(rows: Sequence[GapRow]) -> GapRow:
    numbers = list(zip(*(astuple(row)[4:] for row in rows), strict=True))
    return GapRow(rows[0].selection, rows[0].fraction, 0, 0, *(math.fsum(each) / len(rows) for each in numbers))


def _correlation(name: str, rows: Sequence[GapRow]) -> Correlation:
    accuracies = [row.accuracy for row in rows]
    return Correlation(name, len(rows), *(spearman([getattr(row, gap) for row in rows], accuracies) for gap in _GAPS))


def _number(name: str) -> Callable[[Correlation], str]:
    def cell(row: Correlation) -> str:
        value: float = getattr(row, name)
        return "–" if math.isnan(value) else f"{value:+.2f}"

    return cell
