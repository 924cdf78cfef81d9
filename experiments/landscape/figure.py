"""The figure of a landscape: surfaces, contours side by side, and a line with the differences below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.landscape.config import LandscapeConfig
from experiments.landscape.view import View
from utils.records.plots import COLOURS, new_figure, save_figure

_PANEL = 3.0  # inches
_LEVELS = 14
_FULL = "#444444"


def draw(view: View, rows: Sequence[Sequence[float]], config: LandscapeConfig, path: Path) -> None:
    """Draw the losses of the full set and of each coreset as a PNG.

    Args:
        rows: x, y, the losses and the standard error of the full set's, for every point of the grid, row by row.
        path: of the PNG.
    """
    points, size = config.points, len(view.data.pool)
    names = ["full set", *view.coresets]
    counts = [min(size, config.images or size), *map(len, view.coresets.values())]
    table = np.array(rows)
    axis = table[:points, 0]  # [points]
    losses = table[:, 2:-1].T.reshape(len(names), points, points)  # [1 + K, y, x]
    errors = table[:, -1].reshape(points, points)  # [y, x]
    levels = _levels(losses[0])
    figure = new_figure(_PANEL * max(len(names), 2), 3.6 * _PANEL)
    figure.suptitle(_title(view, counts[0]), fontsize=10)
    upper, lower = figure.subfigures(2, 1, height_ratios=(2.1, 1.5), squeeze=False)[:, 0]
    _draw_surfaces(upper, [_counted(*each) for each in zip(names, counts, strict=True)], axis, losses, levels)
    top, bottom = lower.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_line(top, bottom, names, axis, losses[:, points // 2], errors[points // 2])
    unit = "in units of the filters' lengths" if config.directions == "random" else "distance ‖ε‖"
    bottom.set_xlabel(f"step along d₁ ({unit})")
    save_figure(figure, path)


def _title(view: View, shown: int) -> str:
    """Return what is seen: a line on the losses, one on the contours, and one on the full set where it is estimated."""
    size = len(view.data.pool)
    lines = [
        f"{view.data.spec.name}, {view.model}, seed {view.seed}: mean losses around the network (+)",
        "contours: of the panel's own loss in black, of the full set's in white, dashed",
    ]
    if shown < size:
        lines.append(f"the full set by {shown:,} of its {size:,} images, drawn at random; shaded: ± 2 standard errors")
    return "\n".join(lines)


def _counted(name: str, images: int) -> str:
    return f"{name} ({images:,} images)"


def _levels(full: np.ndarray) -> np.ndarray:
    """Return levels in equal ratios from the full set's lowest loss to its highest one."""
    finite = full[np.isfinite(full)]
    low, high = max(float(finite.min()), 1e-6), float(finite.max())
    return np.geomspace(low, max(high, 1.001 * low), _LEVELS)


def _draw_surfaces(
    figure: Figure, names: Sequence[str], axis: np.ndarray, losses: np.ndarray, levels: np.ndarray
) -> None:
    """Draw a surface and a contour map of each loss, on one scale, with the full set's contours dashed on all."""
    count, norm = len(names), LogNorm(levels[0], levels[-1])
    x, y = np.meshgrid(axis, axis)  # [points, points] each
    shown = np.clip(np.nan_to_num(losses, nan=levels[-1]), levels[0], levels[-1])
    first: Axes | None = None
    for number, (name, loss) in enumerate(zip(names, shown, strict=True)):
        surface = figure.add_subplot(2, count, 1 + number, projection="3d")
        surface.plot_surface(x, y, np.log10(loss), cmap="viridis", rcount=60, ccount=60, linewidth=0, antialiased=True)
        surface.set_zlim(*np.log10(levels[[0, -1]]))
        surface.set_zticks(np.log10(levels[::4]), [f"{level:.2g}" for level in levels[::4]])
        surface.set_xticks(axis[[0, len(axis) // 2, -1]])
        surface.set_yticks(axis[[0, len(axis) // 2, -1]])
        surface.view_init(28, -60)
        surface.set_title(name, fontsize=9, y=0.97)
        surface.tick_params(labelsize=6, pad=-2)
        contour = figure.add_subplot(2, count, 1 + count + number, sharex=first, sharey=first)
        first = first or contour
        drawn = contour.contourf(x, y, loss, levels=levels, norm=norm, cmap="viridis", extend="both")
        if number:
            contour.contour(x, y, shown[0], levels=levels[1:-1:2], colors="white", linewidths=0.7, linestyles="--")
            contour.contour(x, y, loss, levels=levels[1:-1:2], colors="black", linewidths=0.7)
        else:
            contour.contour(x, y, loss, levels=levels[1:-1:2], colors="white", linewidths=0.7, linestyles="--")
        contour.plot(0, 0, marker="+", color="red", markersize=8)
        contour.set_aspect("equal")
        contour.set_xticks(axis[[0, len(axis) // 2, -1]])
        contour.set_yticks(axis[[0, len(axis) // 2, -1]])
        contour.set_xlabel("step along d₁", fontsize=7)
        contour.tick_params(labelsize=7)
    figure.axes[1].set_ylabel("step along d₂", fontsize=7)
    bar = figure.colorbar(drawn, ax=figure.axes[1::2], shrink=0.85, pad=0.01)
    bar.set_ticks(levels[::3].tolist(), labels=[f"{level:.2g}" for level in levels[::3]])
    bar.set_label("mean loss", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_line(
    top: Axes, bottom: Axes, names: Sequence[str], axis: np.ndarray, losses: np.ndarray, errors: np.ndarray
) -> None:
    """Draw the losses [1 + K, points] along one direction, and what each coreset's has more than the full set's.

    Args:
        errors: [points], the standard error of the full set's.
    """
    top.fill_between(axis, losses[0] - 2 * errors, losses[0] + 2 * errors, color=_FULL, alpha=0.15, linewidth=0)
    bottom.fill_between(axis, -2 * errors, 2 * errors, color=_FULL, alpha=0.15, linewidth=0)
    top.plot(axis, losses[0], color=_FULL, linewidth=3, alpha=0.5, label=names[0])
    for number, (name, loss) in enumerate(zip(names[1:], losses[1:], strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        top.plot(axis, loss, color=colour, linewidth=1.3, marker=".", label=name)
        bottom.plot(axis, loss - losses[0], color=colour, linewidth=1.3, marker=".")
    bottom.axhline(0, color=_FULL, linewidth=3, alpha=0.5)
    top.set_yscale("log")
    top.set_ylabel("mean loss")
    bottom.set_ylabel("coreset's − full set's")
    top.legend(frameon=False, fontsize=9)
    for each in (top, bottom):
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
