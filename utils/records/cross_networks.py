"""Cross-architecture generalisation: which network selected, against which network was trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from utils.config import RunConfig
from utils.errors import UserError
from utils.records.groups import DRAWN, Statistic, group, name_differences, settings_key, shared_options, unique_runs
from utils.records.run_folder import FinishedRun, fraction_of
from utils.records.tables import Column, markdown


@dataclass(frozen=True)
class MatrixRow:
    """One way to select, with the final accuracy of each network trained on what it selected."""

    selection: str
    selection_model: str  # a dash where no network selects
    settings: str
    cells: dict[str, Statistic]

    @property
    def label(self) -> str:
        """The row's name in a plot."""
        network = "" if self.selection_model == "–" else f" with {self.selection_model}"
        return self.selection + network + (f"\n{self.settings}" if self.settings else "")


@dataclass(frozen=True)
class Matrix:
    """All ways to select one fraction of one data set, or to fill the memory of one scenario, against all networks."""

    dataset: str
    scenario: str  # in words; nothing where all classes come at once
    fraction: float
    networks: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    notes: tuple[str, ...] = ()  # on what the rows share

    @property
    def title(self) -> str:
        """Data set and fraction, and the scenario where there is one."""
        return f"{self.dataset}, {self.scenario or f'fraction {self.fraction:g}'}"

    def markdown(self) -> str:
        """Return a table of selecting × trained network, mean ± std of the final accuracy in percent."""
        columns = [
            Column("selection", lambda row: row.selection),
            Column("selected with", lambda row: row.selection_model),
        ]
        if any(row.settings for row in self.rows):
            columns.append(Column("settings", lambda row: row.settings))
        columns += [Column(network, _cell(network), number=True) for network in self.networks]
        counts = sorted({cell.count for row in self.rows for cell in row.cells.values()})
        runs = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        title = f"{self.title}: final accuracy (%) of each trained network, mean ± std of {runs} runs"
        return "\n\n".join([title, markdown(columns, self.rows), *self.notes])


def cross_matrices(runs: Sequence[FinishedRun]) -> list[Matrix]:
    """Return the matrices of all complete runs, one for each data set, scenario and fraction.

    Raises:
        UserError: no run is complete.
    """
    complete = unique_runs(runs)
    if not complete:
        raise UserError("no complete run to make a matrix of")
    by_problem = group(complete, lambda run: (run.config.data.title, run.config.scenario_label, fraction_of(run)))
    matrices = [_matrix(of_problem) for of_problem in by_problem]
    return sorted(matrices, key=lambda matrix: (matrix.dataset, matrix.scenario, matrix.fraction))


def cross_table(runs: Sequence[FinishedRun]) -> str:
    """Return the matrices of :func:`cross_matrices` in markdown."""
    return "\n\n".join(matrix.markdown() for matrix in cross_matrices(runs))


def _matrix(runs: Sequence[FinishedRun]) -> Matrix:
    ways = group(runs, lambda run: settings_key(run.config, (*DRAWN, "model")))
    settings = name_differences([way[0].config for way in ways], across_models=True)
    rows = [_row(way, text) for way, text in zip(ways, settings, strict=True)]
    config: RunConfig = runs[0].config
    return Matrix(
        config.data.title,
        config.scenario_label,
        fraction_of(runs[0]),
        tuple(sorted({run.config.model for run in runs})),
        tuple(sorted(rows, key=lambda row: (row.selection == "Full", row.selection, row.label))),
        tuple(shared_options([run.config for run in runs])),
    )


def _row(runs: Sequence[FinishedRun], settings: str) -> MatrixRow:
    selection = runs[0].config.selection
    cells = {
        trained[0].config.model: Statistic.of([run.summary.final_accuracy for run in trained if run.summary])
        for trained in group(runs, lambda run: run.config.model)
    }
    return MatrixRow(selection.method, selection.model or "–", settings, cells)


def _cell(network: str) -> Callable[[Any], str]:
    return lambda row: str(row.cells.get(network, "–"))
