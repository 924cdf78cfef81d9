"""How LCMat-S's seconds and memory grow with the samples and with the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.measure import Measured, measured, table
from benchmarks.settings import lcmat
from benchmarks.shapes import one_class

_SAMPLES = (1000, 2000, 5000, 10_000, 20_000, 50_000)
_CLASSES = (10, 100, 1000)
_N = 5000  # samples where the classes grow
_FRACTION = 0.1
_BOUND = 2 * 10**9  # bytes, in which the largest n is selected from again


def growth(plot: Path) -> Iterator[str]:
    """Yield tables and the exponents fitted to them; draw them into ``plot``."""
    yield f"{_FRACTION:.0%} of n samples in one selection, within half of the free memory.\n"
    warm_up = one_class(_SAMPLES[0])
    lcmat(warm_up, _FRACTION)
    over_samples = {n: _measure(n, _CLASSES[0]) for n in _SAMPLES}
    yield _table("n", over_samples, f"C = {_CLASSES[0]}")
    yield f"\n{_bounded(over_samples[_SAMPLES[-1]])}"
    over_classes = {classes: _measure(_N, classes) for classes in _CLASSES}
    yield "\n" + _table("C", over_classes, f"n = {_N:,}")
    _draw(over_samples, over_classes, plot)
    yield f"\nplot: {plot}"


def _measure(n: int, classes: int, memory_budget: int | None = None) -> Measured:
    return measured(partial(lcmat, one_class(n, classes), _FRACTION, balance=False, memory_budget=memory_budget))


def _bounded(before: Measured) -> str:
    """Select from the largest problem again, in memory that does not hold its matrix; return a sentence on it."""
    bounded = _measure(_SAMPLES[-1], _CLASSES[0], _BOUND)
    same = "the same picks" if np.array_equal(bounded.result, before.result) else "OTHER picks"
    return (
        f"n = {_SAMPLES[-1]:,} within memory_budget={_BOUND:,}: {bounded.seconds:.0f} s, "
        f"{bounded.peak_bytes / 1e6:,.0f} MB beyond the inputs, {same}."
    )


def _table(name: str, measurements: Mapping[int, Measured], rest: str) -> str:
    rows = [
        [f"{size:,}", f"{each.seconds:.2f}", f"{each.peak_bytes / 1e6:,.0f}"] for size, each in measurements.items()
    ]
    rows.append(["exponent", *(f"{exponent(values):.2f}" for values in _values(measurements))])
    return table([f"{name} ({rest})", "seconds", "MB beyond the inputs"], rows)


def _values(measurements: Mapping[int, Measured]) -> tuple[dict[int, float], dict[int, float]]:
    seconds = {size: each.seconds for size, each in measurements.items()}
    megabytes = {size: max(each.peak_bytes, 1) / 1e6 for size, each in measurements.items()}
    return seconds, megabytes


def exponent(values: Mapping[int, float]) -> float:
    """Return the exponent of the power law through all points, by least squares of the logarithms."""
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def _draw(over_samples: Mapping[int, Measured], over_classes: Mapping[int, Measured], path: Path) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, measurements, name in zip(axes, (over_samples, over_classes), ("samples n", "classes C"), strict=True):
        memory = axis.twinx()
        for side, values, colour, unit in zip(
            (axis, memory), _values(measurements), ("C0", "C1"), ("seconds", "MB"), strict=True
        ):
            label = f"{unit}, exponent {exponent(values):.2f}"
            side.loglog(list(values), list(values.values()), "o-", color=colour, label=label)
            side.set_ylim(min(values.values()) / 3, max(values.values()) * 3)  # what hardly grows looks flat
            side.set_ylabel(unit, color=colour)
        axis.set_xlabel(name)
        lines = axis.lines[:] + memory.lines[:]
        axis.legend(lines, [line.get_label() for line in lines], loc="upper left")
    figure.savefig(path, dpi=120)
