"""What selections picked, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes

from utils.records.groups import Statistic
from utils.records.plots import COLOURS, new_figure, save_figure
from utils.records.tables import Column, markdown

QUANTILES = (0.05, 0.5, 0.95)
_NORMS = "‖g‖ at 5, 50, 95 %"
_WIDE = 20.0  # ratio of the largest norm to the smallest from which the axis is logarithmic


@dataclass(frozen=True)
class Picks:
    """What one selection picked.

    Attributes:
        wrong: the percentage of its picks that the proxy, in evaluation mode, gets wrong.
        wrong_of_all: the same of all images that it could pick.
        norms: QUANTILES of the last-layer gradient's norm over all images, at the point where the method looks at the
            loss; None for a method that looks at none.
        shared: the percentage of its picks that Uniform of the same seed picks too; None for Uniform itself, and
            without such a run.
    """

    wrong: float
    wrong_of_all: float
    norms: tuple[float, ...] | None
    shared: float | None


@dataclass(frozen=True)
class PicksRow:
    """What one way to select picked, with each seed."""

    label: str
    seeds: Sequence[Picks]

    @property
    def wrong(self) -> Statistic:
        """Over the percentages of picks that the proxy gets wrong."""
        return Statistic.of([picks.wrong for picks in self.seeds])

    @property
    def wrong_of_all(self) -> float:
        """The mean percentage of all images that the proxy gets wrong."""
        return fmean(picks.wrong_of_all for picks in self.seeds)

    @property
    def norms(self) -> tuple[float, ...] | None:
        """The mean of each quantile."""
        known = [picks.norms for picks in self.seeds if picks.norms is not None]
        return tuple(map(fmean, zip(*known, strict=True))) if known else None

    @property
    def shared(self) -> Statistic | None:
        """Over the percentages of picks that Uniform picks too."""
        known = [picks.shared for picks in self.seeds if picks.shared is not None]
        return Statistic.of(known) if known else None


def picks_markdown(rows: Sequence[PicksRow]) -> str:
    """Return the rows as a markdown table; percentages with their spread over seeds."""
    columns = [
        Column("selection", lambda row: row.label),
        Column("seeds", lambda row: str(len(row.seeds)), number=True),
        Column("picks that the proxy gets wrong (%)", lambda row: str(row.wrong), number=True),
        Column("of all images (%)", lambda row: f"{row.wrong_of_all:.2f}", number=True),
        Column(_NORMS, lambda row: " ".join(f"{norm:.2g}" for norm in row.norms) if row.norms else "–", number=True),
        Column("picked by Uniform too (%)", lambda row: "–" if row.shared is None else str(row.shared), number=True),
    ]
    return markdown(columns, rows)


def picks_csv(rows: Sequence[PicksRow]) -> str:
    """Return the rows as CSV, one number a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    norms = [f"norm_{round(100 * quantile)}" for quantile in QUANTILES]
    writer.writerow(["selection", "seeds", "wrong_mean", "wrong_std", "wrong_of_all", *norms, "shared_mean"])
    for row in rows:
        shared = "" if row.shared is None else f"{row.shared.mean:.4g}"
        std = "" if row.wrong.std is None else f"{row.wrong.std:.4g}"
        quantiles = [f"{norm:.4g}" for norm in row.norms] if row.norms else [""] * len(QUANTILES)
        wrong = [f"{row.wrong.mean:.4g}", std, f"{row.wrong_of_all:.4g}"]
        writer.writerow([row.label, len(row.seeds), *wrong, *quantiles, shared])
    return text.getvalue()


def draw_picks(rows: Sequence[PicksRow], path: Path) -> None:
    """Draw the rows as a PNG of three panels: wrong picks, gradient norms, overlap with Uniform.

    Raises:
        UserError: ``path`` does not end in .png or cannot be written.
    """
    figure = new_figure(12, 1.8 + 0.34 * len(rows))
    wrong, norms, shared = figure.subplots(1, 3, sharey=True)
    places = range(len(rows))
    _bars(wrong, [row.wrong for row in rows])
    wrong.axvline(fmean(row.wrong_of_all for row in rows), color="black", linestyle="--", linewidth=1)
    wrong.set_title("picks that the proxy\ngets wrong (%); dashed:\nof all images", fontsize=10)
    for place, row in zip(places, rows, strict=True):
        if row.norms is not None:
            low, middle, high = row.norms
            norms.plot([low, high], [place, place], color=COLOURS[1], linewidth=3, solid_capstyle="butt")
            norms.plot([middle], [place], color="black", marker="|", markersize=11, markeredgewidth=2)
    ends = [norm for row in rows if row.norms is not None for norm in row.norms]
    if ends and max(ends) > _WIDE * min(ends):
        norms.set_xscale("log")
    norms.set_title("‖g‖ of all images where\nthe method looks at\nthe loss: 5, 50, 95 %", fontsize=10)
    _bars(shared, [row.shared for row in rows])
    shared.set_title("picks that Uniform\npicks too (%)", fontsize=10)
    wrong.set_yticks(places, [row.label for row in rows])
    wrong.invert_yaxis()
    for axis in (wrong, norms, shared):
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _bars(axis: Axes, values: Sequence[Statistic | None]) -> None:
    means = [0 if value is None else value.mean for value in values]
    spreads = [0 if value is None else value.std or 0 for value in values]
    axis.barh(range(len(values)), means, xerr=spreads, color=COLOURS[0], ecolor="black", capsize=2, height=0.7)
