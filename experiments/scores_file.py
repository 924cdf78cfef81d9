"""Scores of all samples in a file: as a run keeps them, and as they come in from elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.features_file import rows_of_pool
from methods import SCORES, make_method
from methods.score_method import ScoreMethod, TraceMethod
from utils.arrays import as_labels, as_scores
from utils.config import DataConfig
from utils.data.coreset_formats import MADE_OF, one_fingerprint
from utils.data.fingerprint import check_made_of
from utils.data.load import Data
from utils.errors import UserError, choose
from utils.files import read_npz
from utils.training.training_trace import TrainingTrace

_PLACES = ("indices", "index", "labels", "label")  # whole numbers that are no scores


@dataclass(frozen=True, eq=False)
class GivenScores:
    """The scores in a file, one column a name, of the images in ``data.pool``.

    Attributes:
        columns: float64 [m] by name.
        source: what errors call the file.
    """

    columns: Mapping[str, Tensor]
    source: Path

    def named(self, name: str | None) -> tuple[str, Tensor]:
        """Return the name and the values of a column; the only one where no name is given, or none fits.

        Raises:
            UserError: there is no such column among several.
        """
        if name not in self.columns and len(self.columns) == 1:
            return next(iter(self.columns.items()))
        if name is None:
            raise UserError(f"{self.source} holds several scores; --score names one of {', '.join(self.columns)}")
        try:
            return name, self.columns[choose("score", name, self.columns)]
        except UserError as error:
            raise UserError(f"{self.source}: {error}") from error

    def score(self, method: ScoreMethod) -> Tensor:
        """Return the scores of a method, float64 [m]."""
        return self.named(type(method).__name__)[1]

    def difficulty(self, name: str | None) -> Tensor:
        """Return how hard each image is, float64 [m]: a column, turned where low values of such scores are hard."""
        known, scores = self.named(name)
        return make_method(known).difficulty(scores) if known in SCORES else scores  # type: ignore[attr-defined]


def load_scores(path: Path, data: Data, config: DataConfig) -> GivenScores:
    """Return the scores of ``data.pool`` in an npz of columns, or a csv with a row of their names.

    They stand for the training images at its ``index`` (or ``indices``); without that, for all of them in order.

    Raises:
        UserError: no scores, NaN among them, or the file does not fit the data set, or is of other images.
    """
    arrays = _read_csv(path) if path.suffix.lower() == ".csv" else read_npz(path)
    check_made_of(path, one_fingerprint(path, np.atleast_1d(arrays.pop(MADE_OF, "")).tolist()), config)
    columns = {name: values for name, values in arrays.items() if name not in _PLACES}
    if not columns:
        raise UserError(f"{path} holds no scores, only {', '.join(arrays) or 'nothing'}")
    try:
        n = len(next(iter(columns.values())))
        scores = {name: as_scores(values, n) for name, values in columns.items()}
        given = arrays.get("indices", arrays.get("index"))
        indices = torch.arange(n) if given is None else as_labels(given)
        labels = arrays.get("labels", arrays.get("label"))
        rows = rows_of_pool(path, indices, n, None if labels is None else as_labels(labels), data)
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    return GivenScores({name: values[rows] for name, values in scores.items()}, path)


def trace_scores(trace: TrainingTrace) -> dict[str, Tensor]:
    """Return every score that a trace gives, float64 [n], by the name of its method."""
    methods = {name: make_method(name) for name in SCORES}
    return {name: method.score(trace) for name, method in methods.items() if isinstance(method, TraceMethod)}


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a csv by the names in its first row; whole numbers stay so."""
    reads: dict[str, Callable[[str], Any]] = {**dict.fromkeys(_PLACES, int), MADE_OF: str}
    try:
        with path.open(newline="") as file:
            names, *rows = [row for row in csv.reader(file) if row]
        columns = list(zip(*rows, strict=True))
        if len(columns) != len(names):
            raise ValueError(f"{len(names)} names for {len(columns)} columns")
        return {
            name: np.array([reads.get(name, float)(text) for text in column])
            for name, column in zip(names, columns, strict=True)
        }
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is no table of scores: {reason}") from error
