"""Finished runs as tables: groups of everything but seed and repeat, with mean and spread."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, median_low
from typing import Any

from utils.config import RunConfig
from utils.errors import UserError
from utils.records.continual_measures import ContinualMeasures
from utils.records.groups import DRAWN, Statistic, group, name_differences, settings_key, shared_options, unique_runs
from utils.records.run_folder import FinishedRun, find_runs, unfinished_runs
from utils.records.summary import PHASES, Summary

CONTACT_SHEET = "contact_sheet.png"


@dataclass(frozen=True)
class Row:
    """The runs of one group; ``settings`` names what sets it apart from groups that look alike."""

    config: RunConfig
    summaries: tuple[Summary, ...]
    settings: str

    @property
    def selection_model(self) -> str:
        """The network that selected, or a dash."""
        return self.config.selection.model or "–"

    @property
    def label(self) -> str:
        """The method, the network that selected where it is not the one trained, and the settings."""
        network = "" if self.selection_model in (self.config.model, "–") else f" with {self.selection_model}"
        return self.config.selection.method + network + (f", {self.settings}" if self.settings else "")

    @property
    def fraction(self) -> float:
        """The part of the pool that was kept: that asked for, or what the number of images comes to."""
        return self.summaries[0].fraction

    @property
    def seeds(self) -> int:
        """The number of different seeds."""
        return len({summary.seed for summary in self.summaries})

    @property
    def final(self) -> Statistic:
        """Over the accuracies of the last tests."""
        return Statistic.of([summary.final_accuracy for summary in self.summaries])

    @property
    def best(self) -> Statistic:
        """Over the best accuracies of each run's tests."""
        return Statistic.of([summary.best_accuracy for summary in self.summaries])

    @property
    def wrong_labels(self) -> float | None:
        """The mean percentage of images with a wrong label; None where no labels were made wrong."""
        shares = [summary.wrong_labels for summary in self.summaries if summary.wrong_labels is not None]
        return fmean(shares) if shares else None

    @property
    def scenario(self) -> str:
        """The scenario in words; nothing where all classes come at once."""
        return self.config.scenario_label

    def continual(self, measure: str) -> Statistic | None:
        """Return the statistic of a measure of ContinualMeasures; None where the runs have none."""
        found = [getattr(summary.continual, measure) for summary in self.summaries if summary.continual is not None]
        values = [value for value in found if value is not None]
        return Statistic.of(values) if values else None

    def seconds(self, phase: str) -> float:
        """Return the median duration of a phase."""
        return median(summary.seconds[phase] for summary in self.summaries)

    def gap(self, name: str) -> float | None:
        """Return the median of a number of the certificates, None where no run has one."""
        certificates = [summary.certificate for summary in self.summaries if summary.certificate is not None]
        return median(getattr(certificate, name) for certificate in certificates) if certificates else None

    @property
    def peak_memory(self) -> float:
        """The median peak memory in MB."""
        return median(summary.peak_memory_bytes for summary in self.summaries) / 1e6


@dataclass(frozen=True)
class Table:
    """All groups, in the order to show, and what was left out of them."""

    rows: tuple[Row, ...]
    runs: tuple[FinishedRun, ...]  # that the rows are made of
    failed: int = 0
    unfinished: int = 0
    selected: int = 0  # only: nothing was retrained
    copies: int = 0
    contact_sheets: tuple[Path, ...] = ()

    def markdown(self, time: bool = False, gaps: bool = False) -> str:
        """Return a markdown table, aligned for reading as it is.

        Args:
            time: add medians of seconds and memory.
            gaps: add medians of what certificates say.
        """
        return "\n".join([markdown(self._columns(time, gaps), self.rows), *self._below()])

    def csv(self, time: bool = False, gaps: bool = False) -> str:
        """Return every column that a table can have as CSV, one number a cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = [*_CSV_COLUMNS, *(_TIME_COLUMNS if time else ()), *(_GAP_COLUMNS if gaps else ())]
        writer.writerow(column.title for column in columns)
        writer.writerows([column.cell(row) for column in columns] for row in self.rows)
        return text.getvalue()

    def notes(self) -> list[str]:
        """Return lines on what the rows share, and on what the table or its tests leave out."""
        lines = shared_options([row.config for row in self.rows])
        for interval in sorted({row.config.training.test_interval for row in self.rows} - {1}):
            when = f"every {interval} epochs" if interval else "only after the last epoch"
            lines.append(f"Tested {when}{self._share(lambda row: row.config.training.test_interval, interval)}.")
        for part in sorted({row.config.training.test_fraction for row in self.rows} - {1.0}):
            share = self._share(lambda row: row.config.training.test_fraction, part)
            lines.append(f"Tested on a fraction of {part:g} of the test images{share}.")
        if self.failed or self.unfinished or self.selected:
            lines.append(f"Left out: {_left_out(self.failed, self.unfinished, self.selected)}.")
        if self.copies:
            lines.append(f"Found again and counted once: {self.copies}.")
        return lines

    def _share(self, value: Callable[[Row], float], wanted: float) -> str:
        count = sum(value(row) == wanted for row in self.rows)
        return "" if count == len(self.rows) else f" ({count} of {len(self.rows)} rows)"

    def _below(self) -> list[str]:
        links = [f"- [{sheet.parent.name}]({sheet.as_posix()})" for sheet in self.contact_sheets]
        notes = self.notes()
        return [
            *(["", *notes] if notes else []),
            *(["", "First picks of each class:", "", *links] if links else []),
        ]

    def _columns(self, time: bool, gaps: bool) -> list[Column]:
        columns = list(_COLUMNS)
        if any(row.seeds != len(row.summaries) for row in self.rows):
            columns.insert(-2, Column("runs", lambda row: str(len(row.summaries)), number=True))
        if any(row.wrong_labels is not None for row in self.rows):
            columns.insert(-2, Column("wrong labels (%)", lambda row: _one_digit(row.wrong_labels), number=True))
        if any(row.settings for row in self.rows):
            columns.insert(3, Column("settings", lambda row: row.settings))
        if any(row.selection_model not in (row.config.model, "–") for row in self.rows):
            columns.insert(3, Column("selected with", lambda row: row.selection_model))
        if any(row.scenario for row in self.rows):
            columns.insert(2, Column("scenario", lambda row: row.scenario))
            columns += _CONTINUAL_COLUMNS
        return [*columns, *(_TIME_COLUMNS if time else ()), *(_GAP_COLUMNS if gaps else ())]


@dataclass(frozen=True)
class Column:
    """A heading and what stands under it for each row."""

    title: str
    cell: Callable[[Any], str]
    number: bool = False


def _span(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return "–".join(f"{value:,}" for value in sorted({ordered[0], ordered[-1]}))


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _one_digit(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


_COLUMNS = (
    Column("dataset", lambda row: row.config.data.title),
    Column("model", lambda row: row.config.model),
    Column("selection", lambda row: row.config.selection.method),
    Column("fraction", lambda row: f"{row.fraction:g}", number=True),
    Column("images", lambda row: _span(s.coreset_size for s in row.summaries), number=True),
    Column("training steps", lambda row: _span(s.training_steps for s in row.summaries), number=True),
    Column("seeds", lambda row: str(row.seeds), number=True),
    Column("final accuracy (%)", lambda row: str(row.final), number=True),
    Column("best accuracy (%)", lambda row: str(row.best), number=True),
)

_CSV_COLUMNS = (
    *_COLUMNS[:3],
    Column("selection_model", lambda row: row.config.selection.model or ""),
    Column("settings", lambda row: row.settings),
    _COLUMNS[3],
    Column("images", lambda row: str(median_low(s.coreset_size for s in row.summaries))),
    Column("training_steps", lambda row: str(median_low(s.training_steps for s in row.summaries))),
    _COLUMNS[6],
    Column("runs", lambda row: str(len(row.summaries))),
    Column("final_mean", lambda row: _plain(row.final.mean)),
    Column("final_std", lambda row: _plain(row.final.std)),
    Column("best_mean", lambda row: _plain(row.best.mean)),
    Column("best_std", lambda row: _plain(row.best.std)),
    Column("wrong_labels", lambda row: _plain(row.wrong_labels)),
    Column("scenario", lambda row: row.scenario),
    *(
        Column(
            f"{name}_{part}",
            lambda row, name=name, part=part: _plain(getattr(row.continual(name), part, None)),  # type: ignore[misc]
        )
        for name in ContinualMeasures.NAMES
        for part in ("mean", "std")
    ),
)

_CONTINUAL_COLUMNS = tuple(
    Column(
        f"{name.replace('_', ' ')} (%)",
        lambda row, name=name: str(row.continual(name) or "–"),  # type: ignore[misc]
        number=True,
    )
    for name in ContinualMeasures.NAMES
)

_TIME_COLUMNS = (
    *(
        Column(f"{phase} (s)", lambda row, phase=phase: f"{row.seconds(phase):.1f}", number=True)  # type: ignore[misc]
        for phase in PHASES
    ),
    Column("peak memory (MB)", lambda row: f"{row.peak_memory:.0f}", number=True),
)

_GAP_COLUMNS = tuple(
    Column(title, lambda row, name=name: _digits(row.gap(name)), number=True)  # type: ignore[misc]
    for title, name in (
        ("gradient gap", "gradient"),
        ("curvature gap", "curvature"),
        ("bound", "bound"),
        ("worst change", "worst"),
        ("random coresets'", "random_mean"),
        ("percentile", "percentile"),
    )
)


def load_table(paths: Iterable[str | Path]) -> Table:
    """Return the table of all runs in these folders (folders of runs, or runs).

    Raises:
        UserError: a folder is not there, or no complete run is in any of them.
    """
    folders = [Path(path) for path in paths]
    for folder in folders:
        if not folder.exists():
            raise UserError(f"there is no {folder} to report on")
    runs = list({run.path.resolve(): run for folder in folders for run in find_runs(folder)}.values())
    unfinished = {path.resolve() for folder in folders for path in unfinished_runs(folder)}
    failed = sum(run.failure is not None for run in runs)
    selected = sum(run.summary is None and run.failure is None for run in runs)
    complete = unique_runs(runs)
    if not complete:
        raise UserError(
            f"no complete run in {', '.join(map(str, folders))} "
            f"({_left_out(failed, len(unfinished), selected)}); main.py makes them"
        )
    sheets = [run.path / CONTACT_SHEET for run in complete if (run.path / CONTACT_SHEET).exists()]
    copies = len(runs) - failed - selected - len(complete)
    return Table(_rows(complete), tuple(complete), failed, len(unfinished), selected, copies, tuple(sheets))


def _left_out(failed: int, unfinished: int, selected: int) -> str:
    only = f", {selected} selected and not retrained" if selected else ""
    return f"{failed} failed, {unfinished} unfinished{only}"


def _rows(runs: Sequence[FinishedRun]) -> tuple[Row, ...]:
    groups = group(runs, lambda run: settings_key(run.config, DRAWN))
    configs = [runs_of_group[0].config for runs_of_group in groups]
    rows = [
        Row(config, tuple(run.summary for run in runs_of_group if run.summary is not None), settings)
        for config, runs_of_group, settings in zip(configs, groups, name_differences(configs), strict=True)
    ]
    return tuple(sorted(rows, key=_order))


def _order(row: Row) -> tuple[Any, ...]:
    method, scenario = row.config.selection.method, row.config.scenario
    steps = "" if scenario is None else f"{scenario.protocol} {scenario.steps}"
    memory = 0 if scenario is None else (scenario.ipc or scenario.memory or 0)
    place = (row.config.data.title, row.config.model, steps, memory, row.scenario, method == "Full", row.fraction)
    return (*place, method, row.selection_model, row.settings)


def markdown(columns: Sequence[Column], rows: Sequence[Any]) -> str:
    """Return a markdown table whose columns stand in line."""
    cells = [[column.title for column in columns]]
    cells += [[column.cell(row).replace("|", "\\|") for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * (width - 1) + (":" if c.number else "-") for c, width in zip(columns, widths, strict=True)]
    sides = [">" if column.number else "<" for column in columns]
    padded = [
        [f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=True)] for line in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))
