"""The measured worst cases of a view's coresets, beside their second-order bounds and random coresets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import torch

from experiments.landscape.folder import LandscapeFolder, remembered
from experiments.landscape.measure import Measurement
from utils.data.coreset import Coreset
from utils.landscape.certificate import eigenvalues
from utils.landscape.eigenvalues import largest_eigenvalue, largest_magnitude
from utils.landscape.worst_case import second_order_bound, worst_changes
from utils.records.tables import Column, markdown
from utils.training.progress import Progress

_STARTS = {"last": 3, "all": 2}  # ascents for each sign


@dataclass(frozen=True)
class Worst:
    """What was measured of one coreset within a radius ρ (see utils.landscape.certificate.Certificate)."""

    loss: float
    gradient: float
    curvature: float
    bound: float
    worst: float


@dataclass(frozen=True)
class WorstCase:
    """One row of the table: a coreset and random coresets with as many images of each class."""

    coreset: str
    images: int
    layers: str
    radius: float
    own: Worst
    random: tuple[Worst, ...]

    @property
    def percentile(self) -> float:
        """The percentage of random coresets with a smaller worst case."""
        return 100 * statistics.fmean(each.worst < self.own.worst for each in self.random)


def worst_cases(measurement: Measurement, folder: LandscapeFolder) -> list[WorstCase]:
    """Return the worst cases that the settings ask for; those in the folder are not measured again."""
    config, coresets = measurement.config, measurement.view.coresets
    layers = {"none": (), "last": ("last",), "all": ("last", "all")}[config.worst_case]
    radius = config.rho or measurement.usual_radius()
    total = len(layers) * sum(1 + len(peers) for peers in measurement.peers.values())
    rows = []
    with Progress("worst cases", total, 1) as progress:

        def measured(which: str, coreset: Coreset) -> Worst:
            key = f"{which} {radius!r} {coreset.digest()}"
            values = remembered(
                folder.worst_cases, key, lambda: list(astuple(_measure(measurement, which, coreset, radius)))
            )
            progress.step()
            return Worst(*values)

        for which in layers:
            for name, coreset in coresets.items():
                random = tuple(measured(which, each) for each in measurement.peers[name])
                rows.append(WorstCase(name, len(coreset), which, radius, measured(which, coreset), random))
    return rows


def _measure(measurement: Measurement, layers: str, coreset: Coreset, radius: float) -> Worst:
    if layers == "last":
        last = measurement.last_layer(coreset)
        zero = torch.zeros(1, last.size, dtype=torch.float64, device=last.labels.device)
        (value, gradient), (top, magnitude) = last(zero), eigenvalues(last)
        worst = worst_changes(last, zero, radius, _STARTS[layers])
    else:
        whole = measurement.whole_network(coreset)
        value, gradient = whole(whole.zero)
        top = largest_eigenvalue(whole.hessian_product, whole.size)
        magnitude = largest_magnitude(whole.hessian_product, whole.size)
        worst = worst_changes(whole, whole.zero, radius, _STARTS[layers])
    length = float(gradient.norm())
    return Worst(-float(value), length, top, second_order_bound(length, magnitude, radius), float(worst))


def table(rows: Sequence[WorstCase]) -> str:
    """Return the worst cases as a markdown table."""
    return markdown(_COLUMNS, rows)


def csv_rows(rows: Sequence[WorstCase]) -> list[list[Any]]:
    """Return a header and a row for each worst case, one number a cell, with all digits."""
    spreads = [f"random_{name}_{kind}" for name in ("bound", "worst") for kind in ("mean", "std")]
    header = ["coreset", "images", "layers", "rho", *(each.name for each in fields(Worst)), *spreads, "percentile"]
    lines: list[list[Any]] = [header]
    for row in rows:
        random = [[each.bound for each in row.random], [each.worst for each in row.random]]
        spread = [kind(values) for values in random for kind in (statistics.fmean, statistics.stdev)]
        lines.append([row.coreset, row.images, row.layers, row.radius, *astuple(row.own), *spread, row.percentile])
    return lines


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3g} ± {statistics.stdev(values):.2g}"


_COLUMNS = (
    Column("coreset", lambda row: row.coreset),
    Column("images", lambda row: str(row.images), number=True),
    Column("layers", lambda row: row.layers),
    Column("ρ", lambda row: f"{row.radius:.3g}", number=True),
    Column("gradient gap", lambda row: f"{row.own.gradient:.3g}", number=True),
    Column("λ_max", lambda row: f"{row.own.curvature:.3g}", number=True),
    Column("bound", lambda row: f"{row.own.bound:.3g}", number=True),
    Column("worst change", lambda row: f"{row.own.worst:.3g}", number=True),
    Column("random: bound", lambda row: _spread([each.bound for each in row.random]), number=True),
    Column("random: worst change", lambda row: _spread([each.worst for each in row.random]), number=True),
    Column("percentile", lambda row: f"{row.percentile:.0f}", number=True),
)
