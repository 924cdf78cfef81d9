"""What a run came to: its history, one row an epoch, and its summary."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from utils.config import RunConfig
from utils.errors import UserError
from utils.files import write_atomic

PHASES = ("proxy", "features", "selection", "training")


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


@dataclass(frozen=True)
class Summary:
    """What came out of a complete run; accuracies in percent of the test images.

    ``final_accuracy`` is that of the last test, ``best_accuracy`` the highest of all tests.

    Raises:
        ValueError: a number is out of its range, or ``seconds`` lacks a phase.
    """

    dataset: str
    model: str
    selection: str
    fraction: float
    seed: int
    repeat: int
    coreset_size: int
    training_steps: int
    final_accuracy: float
    best_accuracy: float
    seconds: Mapping[str, float]  # of each of PHASES
    peak_memory_bytes: int
    device: str  # in words
    test_interval: int
    selection_model: str | None = None  # the proxy; None where the method needs none
    images_per_second: Mapping[str, float] = field(default_factory=dict)  # of a phase

    def __post_init__(self) -> None:
        if set(self.seconds) != set(PHASES):
            raise ValueError(f"seconds are given for {sorted(self.seconds)}, not for {sorted(PHASES)}")
        rates = (*self.seconds.values(), *self.images_per_second.values())
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
            raise ValueError("a duration or speed is negative or not finite")
        if not 0 <= self.final_accuracy <= self.best_accuracy <= 100:
            raise ValueError(f"accuracies {self.final_accuracy}, {self.best_accuracy} are not percents")
        if min(self.coreset_size, self.training_steps, self.peak_memory_bytes) < 0:
            raise ValueError("a count is negative")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "complete": True}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Summary:
        """The summary in what ``summary.json`` holds; names that this version does not know are left out.

        Raises:
            UserError: a value is missing, of the wrong type or out of range.
        """
        try:
            return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not the summary of a complete run: {error}") from error


def summarise(
    config: RunConfig,
    history: Sequence[Epoch],
    *,
    coreset_size: int,
    training_steps: int,
    seconds: Mapping[str, float],
    peak_memory_bytes: int,
    device: str,
    images_per_second: Mapping[str, float] | None = None,
) -> Summary:
    """The summary of a run with this configuration and history; phases left out of ``seconds`` took 0."""
    return Summary(
        **identity(config),
        coreset_size=coreset_size,
        training_steps=training_steps,
        final_accuracy=final_accuracy(history),
        best_accuracy=best_accuracy(history),
        seconds=dict.fromkeys(PHASES, 0.0) | dict(seconds),
        peak_memory_bytes=peak_memory_bytes,
        device=device,
        images_per_second=dict(images_per_second or {}),
    )


def identity(config: RunConfig) -> dict[str, Any]:
    """What a summary repeats of the configuration, complete run or not."""
    return {
        "dataset": config.data.dataset,
        "model": config.model,
        "selection": config.selection.method,
        "fraction": config.fraction,
        "seed": config.seed,
        "repeat": config.repeat,
        "test_interval": config.training.test_interval,
        "selection_model": config.selection.model,
    }


def check_summary(summary: Summary, config: RunConfig, history: Sequence[Epoch]) -> None:
    """Raise UserError where the summary is of another run, or says something else than the history."""
    values = asdict(summary)
    for name, expected in identity(config).items():
        if values[name] != expected:
            raise UserError(f"the summary says {name} {values[name]!r}, the configuration {expected!r}")
    accuracies = (summary.final_accuracy, summary.best_accuracy)
    if accuracies != (final_accuracy(history), best_accuracy(history)):
        raise UserError("the summary's accuracies are not those of the history")


def final_accuracy(history: Sequence[Epoch]) -> float:
    """The accuracy of the last test, in percent. Raises UserError where there was none."""
    return _tests(history)[-1]


def best_accuracy(history: Sequence[Epoch]) -> float:
    """The highest accuracy of all tests, in percent. Raises UserError where there was none."""
    return max(_tests(history))


def _tests(history: Sequence[Epoch]) -> list[float]:
    tests = [row.test_accuracy for row in history if row.test_accuracy is not None]
    if not tests:
        raise UserError("the history holds no test")
    return tests


def write_history(path: Path, rows: Sequence[Epoch]) -> None:
    """Write the rows as CSV, every float with all its digits, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(row, name) for name in _COLUMNS] for row in rows)
    write_atomic(path, text.getvalue().encode())


def read_history(path: Path) -> list[Epoch]:
    """The rows of a history file, exactly as they were written.

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
