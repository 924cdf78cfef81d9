"""The folder of a condensation: its settings, synthetic set, history and picture."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from condensation.config import CondensationConfig
from condensation.learning import Iteration
from utils.config import digest
from utils.data.synthetic_set import Synthetic, load_synthetic, picture
from utils.errors import UserError
from utils.files import read_json, remove_leftovers, set_aside, write_atomic, write_json
from utils.lock import FileLock
from utils.records.provenance import provenance

RECORD = "condensation.json"


@dataclass(frozen=True)
class Cost:
    """What a condensation took; the peak is of the whole process, on the device where that is a GPU."""

    seconds: float
    iterations_per_second: float
    peak_memory_bytes: int
    device: str


class Folder:
    """The folder of one condensation under ``save_path``, locked inside the context.

    Raises:
        UserError: (on entering) it cannot be written, or holds another condensation.
    """

    def __init__(self, config: CondensationConfig, save_path: str | Path) -> None:
        self.config, self.path = config, Path(save_path) / config.name()
        self._lock = FileLock(self.path / ".lock")

    def __enter__(self) -> Folder:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._lock)
            remove_leftovers(self.path)
            if self._record() is None:
                self._write_record({"complete": False})
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._lock.__exit__()

    @property
    def synthetic_path(self) -> Path:
        """Where the synthetic set is once it is complete."""
        return self.path / "synthetic.npz"

    @property
    def checkpoint_path(self) -> Path:
        """Where the state is kept until the condensation is complete."""
        return self.path / "checkpoint.pt"

    def finished(self) -> Cost | None:
        """What it took, if the synthetic set is complete and sound; a record that is not of it is set aside."""
        record = self._record()
        if record is None or not record.get("complete"):
            return None
        try:
            if load_synthetic(self.synthetic_path).digest() != record["synthetic"]:
                raise UserError(f"{self.synthetic_path.name} is not the set that was recorded")
            return Cost(**record["cost"])
        except (UserError, KeyError, TypeError) as error:
            set_aside(self.path / RECORD, f"does not stand ({error})")
            self._write_record({"complete": False})
            return None

    def show(self, class_names: tuple[str, ...], synthetic: Synthetic, history: Sequence[Iteration]) -> None:
        """Replace the picture and the history."""
        config = self.config
        done = f"{len(history):,} of {config.iterations:,} iterations"
        title = f"{config.data.dataset}, {config.label}, {config.ipc} images per class, {done}"
        write_atomic(self.path / "synthetic.png", picture(synthetic, class_names, title))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = [each.name for each in fields(Iteration)]
        writer.writerow(columns)
        writer.writerows([getattr(row, name) for name in columns] for row in history)
        write_atomic(self.path / "history.csv", text.getvalue().encode())

    def finish(self, synthetic: Synthetic, cost: Cost) -> None:
        """Write the synthetic set and the record, and delete the checkpoint."""
        synthetic.save(self.synthetic_path)
        self._write_record({"complete": True, "synthetic": synthetic.digest(), "cost": asdict(cost)})
        self.checkpoint_path.unlink(missing_ok=True)

    def _record(self) -> dict[str, Any] | None:
        """What is recorded of this condensation, or None; a damaged record is set aside."""
        path = self.path / RECORD
        if not path.exists():
            return None
        try:
            recorded, values = read_record(self.path)
        except UserError as error:
            set_aside(path, f"is damaged ({error})")
            return None
        if recorded.as_dict() != self.config.as_dict():
            raise UserError(f"{self.path} holds another condensation; move it away or give another --save_path")
        return values

    def _write_record(self, values: dict[str, Any]) -> None:
        settings = self.config.as_dict()
        head = {"condensation": settings, "digest": digest(settings), **provenance()}
        write_json(self.path / RECORD, {**head, **values})


def read_record(folder: Path) -> tuple[CondensationConfig, dict[str, Any]]:
    """The settings of the condensation in a folder, and all that is recorded of it.

    Raises:
        UserError: there is none, or its record is damaged.
    """
    path = folder / RECORD
    values = read_json(path)
    if not isinstance(values, dict) or "condensation" not in values:
        raise UserError(f"{path} is not the record of a condensation")
    if values.get("digest") != digest(values["condensation"]):
        raise UserError(f"{path} was altered (its digest does not match)")
    return CondensationConfig.from_dict(values["condensation"]), values
