"""Histories: one row an epoch of a training, or an iteration of a condensation, as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import write_atomic


@dataclass(frozen=True)
class Epoch:
    """One row of the history; accuracies in percent, None where the epoch was not tested."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float | None = None
    test_accuracy: float | None = None


_COLUMNS = [each.name for each in fields(Epoch)]


def final_accuracy(history: Sequence[Epoch]) -> float:
    """Return the accuracy of the last test, in percent. Raises UserError where there was none."""
    return _tests(history)[-1]


def best_accuracy(history: Sequence[Epoch]) -> float:
    """Return the highest accuracy of all tests, in percent. Raises UserError where there was none."""
    return max(_tests(history))


def _tests(history: Sequence[Epoch]) -> list[float]:
    tests = [row.test_accuracy for row in history if row.test_accuracy is not None]
    if not tests:
        raise UserError("the history holds no test")
    return tests


def write_history(path: Path, rows: Sequence[Any], kind: type = Epoch) -> None:
    """Write rows of the dataclass ``kind`` as CSV, every float with all its digits, atomically."""
    columns = [each.name for each in fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    write_atomic(path, text.getvalue().encode())


def read_history(path: Path) -> list[Epoch]:
    """Return the rows of a training's history file, exactly as they were written.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text()), strict=True)
        if header != _COLUMNS:
            raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
        return [_epoch(row) for row in rows]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a sound history: {error}") from error


def _epoch(row: Sequence[str]) -> Epoch:
    epoch, lr, train_loss, train_accuracy, test_loss, test_accuracy = row
    return Epoch(
        int(epoch),
        float(lr),
        float(train_loss),
        float(train_accuracy),
        float(test_loss) if test_loss else None,
        float(test_accuracy) if test_accuracy else None,
    )
