"""Plots of finished runs: accuracy and differences over fraction, and the cross-architecture matrix."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from utils.errors import UserError
from utils.files import write_atomic
from utils.records.cross_networks import Matrix, cross_matrices
from utils.records.groups import Statistic, group
from utils.records.paired_differences import PairedDifference
from utils.records.run_folder import FinishedRun
from utils.records.tables import Row, Table
from utils.scenario import ScenarioConfig

# Okabe and Ito's colours that can be told apart without colour vision of every kind, on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_LINES = ("-", "--", ":")
_PANEL = (4.8, 3.6)  # inches
_PANELS_ABREAST = 3
_INSIDE_LEGEND = 5  # entries
_LEGEND = (0.6, 0.085)  # inches, and inches a letter


def plot(table: Table, path: Path) -> None:
    """Draw mean accuracies with their spread as a PNG, one line for each method.

    One panel for each pair of data set and network, of the final accuracy over the fraction; Full is a level. And one
    for each scenario with a memory, of the accuracy over the classes seen, with the bounds of its steps.

    Raises:
        UserError: ``path`` does not end in .png or cannot be written.
    """
    panels = _panels(table.rows)
    labels = sorted({row.label for row in table.rows}, key=lambda label: (label == "Full", label.casefold()))
    figure, axes = _figure_of_panels(len(panels), labels)
    for axis, rows in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, labels)
    _draw_legend(figure, labels)
    save_figure(figure, path)


def difference_plot(differences: Sequence[PairedDifference], baseline: str, path: Path) -> None:
    """Draw the mean differences from ``baseline`` over the fraction, with their standard errors, as a PNG.

    One panel for each data set, network and scenario, one line for each method.

    Raises:
        UserError: ``path`` does not end in .png or cannot be written.
    """
    panels = list(group(differences, lambda pairs: _heading(pairs.row)))
    labels = sorted({pairs.row.label for pairs in differences}, key=str.casefold)
    figure, axes = _figure_of_panels(len(panels), labels)
    for axis, panel in zip(axes, panels, strict=True):
        for line in group(panel, lambda pairs: pairs.row.label):
            points = sorted(line, key=lambda pairs: pairs.row.fraction)
            places = [pairs.row.fraction for pairs in points]
            means, errors = zip(*((pairs.difference.mean, pairs.standard_error or 0) for pairs in points), strict=True)
            _draw_line(axis, labels, line[0].row.label, places, means, errors)
        axis.axhline(0, color="#666666", linestyle="--", linewidth=1.2)
        _name_fractions(axis, [pairs.row for pairs in panel])
        axis.set_ylabel(f"final accuracy less {baseline}'s (%)\nmean ± standard error")
        _tidy(axis)
    _draw_legend(figure, labels)
    save_figure(figure, path)


def cross_plot(runs: Sequence[FinishedRun], path: Path) -> None:
    """Draw the matrices of :func:`utils.records.cross_networks.cross_matrices` as heat maps in one PNG.

    Raises:
        UserError: no run is complete, or ``path`` does not end in .png or cannot be written.
    """
    matrices = cross_matrices(runs)
    width = 3 + 1.1 * max(len(matrix.networks) for matrix in matrices)
    heights = [1.2 + 0.55 * len(matrix.rows) for matrix in matrices]
    figure = new_figure(width, sum(heights))
    axes = figure.subplots(len(matrices), 1, squeeze=False, height_ratios=heights).flat
    for axis, matrix in zip(axes, matrices, strict=True):
        _draw_matrix(axis, matrix)
    save_figure(figure, path)


def _heading(row: Row) -> str:
    """Return data set and network, and the scenario on a line of its own where there is one."""
    return "\n".join(filter(None, [f"{row.config.data.title}, {row.config.model}", row.scenario]))


def _figure_of_panels(panels: int, labels: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return a figure with room for so many panels and a legend beside them, and the panels."""
    columns = min(panels, _PANELS_ABREAST)
    lines = math.ceil(panels / columns)
    legend = _LEGEND[0] + _LEGEND[1] * max(map(len, labels)) if _outside(labels, panels) else 0
    figure = new_figure(_PANEL[0] * columns + legend, _PANEL[1] * lines)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[panels:]:
        figure.delaxes(axis)
    return figure, axes[:panels]


def _outside(labels: Sequence[str], panels: int) -> bool:
    return len(labels) > _INSIDE_LEGEND or panels > 1


def _draw_legend(figure: Figure, labels: Sequence[str]) -> None:
    axes = figure.axes
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    texts = [label.replace("$", r"\$") for label in labels]  # a name is no formula
    if _outside(labels, len(axes)):
        figure.legend([handles[label] for label in labels], texts, loc="outside right upper", frameon=False)
    else:
        axes[0].legend([handles[label] for label in labels], texts, frameon=False)


def _draw_panel(axis: Axes, rows: Sequence[Row], labels: Sequence[str]) -> None:
    if rows[0].config.scenario is None:
        _draw_fractions(axis, rows, labels)
    else:
        _draw_classes(axis, rows, labels)
    _tidy(axis)


def _tidy(axis: Axes) -> None:
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_fractions(axis: Axes, rows: Sequence[Row], labels: Sequence[str]) -> None:
    for line in group(rows, lambda row: row.label):
        if line[0].config.selection.method == "Full":
            _draw_level(axis, line[0], line[0].label)
            continue
        points = sorted(line, key=lambda row: row.fraction)
        _draw_accuracies(axis, labels, line[0].label, [row.fraction for row in points], [row.final for row in points])
    _name_fractions(axis, rows)
    axis.set_ylabel("final test accuracy (%)")


def _name_fractions(axis: Axes, rows: Sequence[Row]) -> None:
    _label_fractions(axis, sorted({row.fraction for row in rows if row.config.selection.method != "Full"}))
    axis.set_title(_heading(rows[0]), fontsize=11)
    axis.set_xlabel("fraction of the training images")


def _draw_classes(axis: Axes, rows: Sequence[Row], labels: Sequence[str]) -> None:
    for row in rows:
        measures = [summary.continual for summary in row.summaries if summary.continual is not None]
        after_each = zip(*(measure.accuracies for measure in measures), strict=True)
        _draw_accuracies(axis, labels, row.label, measures[0].classes_seen, [Statistic.of(each) for each in after_each])
    axis.set_title(_heading(rows[0]), fontsize=11)
    axis.set_xlabel("classes seen")
    axis.set_ylabel("test accuracy on them (%)")


def _draw_accuracies(
    axis: Axes, labels: Sequence[str], label: str, places: Sequence[float], values: Sequence[Statistic]
) -> None:
    _draw_line(axis, labels, label, places, [value.mean for value in values], [value.std or 0 for value in values])


def _draw_line(
    axis: Axes,
    labels: Sequence[str],
    label: str,
    places: Sequence[float],
    means: Sequence[float],
    spreads: Sequence[float],
) -> None:
    index = labels.index(label)
    axis.errorbar(
        places,
        means,
        yerr=spreads,
        label=label,
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=_LINES[index // len(COLOURS) % len(_LINES)],
        markersize=5,
        linewidth=1.5,
        capsize=3,
    )


def _draw_level(axis: Axes, row: Row, label: str) -> None:
    mean, std = row.final.mean, row.final.std or 0
    axis.axhline(mean, label=label, color="#666666", linestyle="--", linewidth=1.2)
    axis.axhspan(mean - std, mean + std, color="#666666", alpha=0.12, linewidth=0)


def _label_fractions(axis: Axes, fractions: Sequence[float]) -> None:
    """Make the axis logarithmic, with the fractions themselves as ticks as far as they do not overlap."""
    axis.set_xscale("log")
    if not fractions:
        return
    span = max(math.log(fractions[-1] / fractions[0]), 1e-9)
    ticks: list[float] = []
    for fraction in fractions:
        if not ticks or math.log(fraction / ticks[-1]) > 0.06 * span:
            ticks.append(fraction)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_matrix(axis: Axes, matrix: Matrix) -> None:
    means = [
        [row.cells[network].mean if network in row.cells else math.nan for network in matrix.networks]
        for row in matrix.rows
    ]
    image = axis.imshow(means, cmap="cividis", aspect="auto")
    known = [cell.mean for row in matrix.rows for cell in row.cells.values()]
    middle = (min(known) + max(known)) / 2
    for y, row in enumerate(matrix.rows):
        for x, network in enumerate(matrix.networks):
            if network in row.cells:
                cell = row.cells[network]
                spread = "" if cell.std is None else f"\n± {cell.std:.1f}"
                colour = "black" if cell.mean > middle else "white"
                axis.text(x, y, f"{cell.mean:.1f}{spread}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(len(matrix.networks)), matrix.networks)
    axis.set_yticks(range(len(matrix.rows)), [row.label for row in matrix.rows])
    axis.set_xlabel("trained network")
    axis.set_title(f"{matrix.title}: final test accuracy (%)", fontsize=11)
    axis.figure.colorbar(image, ax=axis, fraction=0.05, pad=0.02)


def _panels(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each panel; the bounds of a scenario's steps are in every panel of those steps."""
    panels = []
    for alike in group(rows, _steps):
        bounds = [row for row in alike if row.config.scenario is not None and row.config.scenario.is_bound]
        others = [row for row in alike if row not in bounds]
        panels += [[*panel, *bounds] for panel in group(others, lambda row: row.scenario)] or [bounds]
    return panels


def _steps(row: Row) -> tuple[str, str, ScenarioConfig | None]:
    """Return data set, network and steps of a row."""
    scenario = row.config.scenario
    return row.config.data.title, row.config.model, None if scenario is None else scenario.without_memory


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, laid out without overlap."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        UserError: ``path`` does not end in .png or cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"a plot is written as PNG, not as {path.name!r}; give a name that ends in .png")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box
        figure.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())
