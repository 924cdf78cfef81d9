"""How much better one way to select is than another, seed by seed: differences of runs that share all but it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from utils.errors import UserError
from utils.records.groups import DRAWN, Statistic, settings_key, shared_options
from utils.records.run_folder import FinishedRun
from utils.records.tables import Column, Row, Table, markdown


@dataclass(frozen=True)
class PairedDifference:
    """One row of a table less the baseline: final accuracies in percent, over pairs of the same seed and repeat."""

    row: Row
    difference: Statistic

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean difference; None for a single pair."""
        std = self.difference.std
        return None if std is None else std / self.difference.count**0.5

    def __str__(self) -> str:
        error = self.standard_error
        return f"{self.difference.mean:+.2f} ± " + ("–" if error is None else f"{error:.2f}")


def paired_differences(table: Table, baseline: str) -> list[PairedDifference]:
    """Return the difference of every row from the rows of the method ``baseline`` with the same training.

    Raises:
        UserError: no run of that method, or none that shares its seed with a run of another.
    """
    known = {_pair(run): _accuracy(run) for run in table.runs if run.config.selection.method == baseline}
    if not known:
        raise UserError(f"no complete run of {baseline} to compare with; make some with main.py --selection {baseline}")
    rows = []
    for row in table.rows:
        if row.config.selection.method == baseline:
            continue
        own = settings_key(row.config, DRAWN)
        runs = [run for run in table.runs if settings_key(run.config, DRAWN) == own]
        differences = [_accuracy(run) - known[_pair(run)] for run in runs if _pair(run) in known]
        if differences:
            rows.append(PairedDifference(row, Statistic.of(differences)))
    if not rows:
        raise UserError(f"no run shares data, network, training, fraction and seed with one of {baseline}")
    return rows


def paired_table(rows: Sequence[PairedDifference], baseline: str) -> str:
    """Return the differences as a markdown table."""
    columns = [
        Column("dataset", lambda pairs: pairs.row.config.data.title),
        Column("model", lambda pairs: pairs.row.config.model),
        Column("selection", lambda pairs: pairs.row.config.selection.method),
        Column("settings", lambda pairs: pairs.row.settings),
        Column("fraction", lambda pairs: f"{pairs.row.fraction:g}", number=True),
        Column("pairs", lambda pairs: str(pairs.difference.count), number=True),
        Column(f"final accuracy less {baseline}'s (%)", str, number=True),
    ]
    if any(pairs.row.scenario for pairs in rows):
        columns.insert(2, Column("scenario", lambda pairs: pairs.row.scenario))
    title = f"Final accuracy less that of {baseline} with the same seed: mean ± standard error"
    return "\n\n".join([title, markdown(columns, rows), *shared_options([pairs.row.config for pairs in rows])])


def _pair(run: FinishedRun) -> str:
    """Return all settings of a run but its selection, as one comparable string."""
    values = run.config.as_dict()
    del values["selection"]
    return json.dumps(values, sort_keys=True)


def _accuracy(run: FinishedRun) -> float:
    assert run.summary is not None
    return run.summary.final_accuracy
