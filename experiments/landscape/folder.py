"""The folder of a landscape: its settings, the losses measured so far, and the picture."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.landscape.config import LandscapeConfig
from experiments.landscape.view import View
from utils.config import digest
from utils.errors import UserError
from utils.files import set_aside, write_atomic
from utils.records.folder import Folder, read_sealed, sound, write_sealed
from utils.records.provenance import provenance

Row = list[float]  # x, y, the mean losses of the full set and of each coreset, and the first one's standard error


class LandscapeFolder(Folder):
    """The folder of one view under ``save_path``; its name holds a digest of all that its losses depend on."""

    def __init__(self, view: View, config: LandscapeConfig, save_path: str) -> None:
        self.view, self.config = view, config
        looks = {name: getattr(config, name) for name in ("directions", "radius", "points", "layers", "images")}
        self.settings: dict[str, Any] = {**looks, "seed": view.seed, "model": view.model, "view": view.digest()}
        name = f"landscape_{view.data.spec.name}_{view.model}_s{view.seed}_{digest(self.settings)[:8]}"
        super().__init__(Path(save_path) / name)

    @property
    def table(self) -> Path:
        """The losses, one row a point."""
        return self.path / "landscape.csv"

    @property
    def picture(self) -> Path:
        """The figure."""
        return self.path / "landscape.png"

    @property
    def columns(self) -> list[str]:
        """The names of a row's numbers."""
        return ["x", "y", "full set", *self.view.coresets, "standard error of the full set"]

    def prepare(self) -> None:
        """Write the settings."""
        coresets = {name: coreset.digest() for name, coreset in self.view.coresets.items()}
        write_sealed(self.path / "landscape.json", {**self.settings, "coresets": coresets, **provenance()})

    def losses(
        self,
        points: Sequence[tuple[float, float]],
        measure: Callable[[Sequence[tuple[float, float]]], Iterator[Row]],
        interval: float,
        step: Callable[[int], None],
    ) -> list[Row]:
        """Return a row for each point: those measured before, and then what ``measure`` gives of the others.

        Args:
            measure: from the points that are missing to their mean losses.
            interval: seconds of work that an interruption may cost.
            step: told of every number of rows that are there.
        """
        rows = self._read(points)
        step(len(rows))
        written = time.monotonic()
        try:
            for (x, y), losses in zip(points[len(rows) :], measure(points[len(rows) :]), strict=True):
                rows.append([x, y, *losses])
                step(1)
                if time.monotonic() - written >= interval:
                    self._write(rows)
                    written = time.monotonic()
        finally:
            self._write(rows)
        return rows

    @property
    def worst_cases(self) -> Path:
        """The worst cases measured so far."""
        return self.path / "worst_cases.json"

    def write_csv(self, name: str, rows: Iterable[Sequence[Any]]) -> Path:
        """Write rows, the first of them a header, into a file of this name; return its path."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_atomic(self.path / name, text.getvalue().encode())
        return self.path / name

    def _write(self, rows: Sequence[Row]) -> None:
        self.write_csv(self.table.name, [self.columns, *rows])

    def _read(self, points: Sequence[tuple[float, float]]) -> list[Row]:
        """Return the rows in the file; none where they are not those of the first points, which is said."""
        if not self.table.exists():
            return []
        try:
            return read_losses(self.table, self.columns, points)
        except UserError as error:
            set_aside(self.table, f"is damaged ({error})")
            return []


def remembered(path: Path, key: str, compute: Callable[[], list[float]]) -> list[float]:
    """Return the numbers kept under ``key`` in a JSON file; those of ``compute``, then kept, where there are none."""
    known = sound(path, read_sealed) or {}
    if key not in known:
        known[key] = compute()
        write_sealed(path, known)
    numbers: list[float] = known[key]
    return numbers


def read_losses(path: Path, columns: Sequence[str], points: Sequence[tuple[float, float]]) -> list[Row]:
    """Return the rows of a file of losses.

    Raises:
        UserError: they are not numbers under these columns, of the first of these points.
    """
    try:
        header, *lines = list(csv.reader(path.read_text().splitlines()))
        rows = [[float(cell) for cell in line] for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"it is no table of numbers: {error}") from error
    if header != list(columns) or any(len(row) != len(columns) for row in rows):
        raise UserError("it has other columns")
    if [(row[0], row[1]) for row in rows] != list(points[: len(rows)]):
        raise UserError("it has other points")
    return rows
