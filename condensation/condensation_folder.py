"""The folder of a condensation: its settings, synthetic set, history and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from condensation.config import CondensationConfig
from condensation.learning import Iteration, Learned
from utils.config import digest
from utils.data.synthetic_set import SyntheticSet
from utils.device import describe_device, peak_memory
from utils.errors import UserError, ornament
from utils.files import read_json, set_aside, write_atomic, write_json
from utils.records.folder import Folder, check_same_data, sound
from utils.records.provenance import provenance
from utils.training.history import write_history

RECORD = "condensation.json"


@dataclass(frozen=True)
class Cost:
    """What a condensation took; the peak is of the whole process, on the device where that is a GPU."""

    seconds: float
    iterations_per_second: float
    peak_memory_bytes: int
    device: str


class CondensationFolder(Folder):
    """The folder of one condensation under ``save_path``, made and locked inside the context.

    Raises:
        UserError: (on entering) it cannot be written, or holds another condensation, or one begun on other data.
    """

    def __init__(self, config: CondensationConfig, save_path: str | Path) -> None:
        super().__init__(Path(save_path) / config.name())
        self.config = config

    @property
    def synthetic_path(self) -> Path:
        """Where the synthetic set is once it is complete."""
        return self.path / "synthetic.npz"

    def prepare(self) -> None:
        """Write the record where there is none, or a damaged one."""
        record = self._record()
        if record is None or not record.get("complete"):
            self._write_record({"complete": False})

    def finished(self) -> Cost | None:
        """Return what it took, if the synthetic set is complete and sound; a record not of it is set aside."""
        record = self._record()
        if record is None or not record.get("complete"):
            return None
        try:
            if SyntheticSet.load(self.synthetic_path).digest() != record["synthetic"]:
                raise UserError(f"{self.synthetic_path.name} is not the set that was recorded")
            return Cost(**record["cost"])
        except (UserError, KeyError, TypeError) as error:
            set_aside(self.path / RECORD, f"does not stand ({error})")
            self._write_record({"complete": False})
            return None

    def show(self, synthetic: SyntheticSet, history: Sequence[Iteration], class_names: tuple[str, ...]) -> None:
        """Replace the picture and the history."""
        config = self.config
        done = f"{len(history):,} of {config.iterations:,} iterations"
        title = f"{config.data.dataset}, {config.label}, {config.ipc} images per class, {done}"
        with ornament("synthetic.png"):
            from utils.records.contact_sheet import synthetic_sheet  # here, because matplotlib takes a quarter second

            write_atomic(self.path / "synthetic.png", synthetic_sheet(synthetic, class_names, title))
        write_history(self.path / "history.csv", history, Iteration)

    def finish(self, learned: Learned, device: torch.device) -> Cost:
        """Write the synthetic set and the record, and delete the checkpoint; return what it took."""
        speed = self.config.iterations / max(learned.seconds, 1e-9)
        cost = Cost(learned.seconds, speed, peak_memory(device), describe_device(device))
        learned.synthetic.save(self.synthetic_path)
        self._write_record({"complete": True, "synthetic": learned.synthetic.digest(), "cost": asdict(cost)})
        self.checkpoint_path.unlink(missing_ok=True)
        return cost

    def _record(self) -> dict[str, Any] | None:
        """Return what is recorded of this condensation, or None; a damaged record is set aside."""
        read = sound(self.path / RECORD, lambda path: read_record(path.parent))
        if read is None:
            return None
        recorded, values = read
        if recorded.settings().as_dict() != self.config.settings().as_dict():
            raise UserError(f"{self.path} holds another condensation; move it away or give another --save_path")
        if self.synthetic_path.exists() or self.checkpoint_path.exists():
            check_same_data(self.path, recorded.data, self.config.data)
        return values

    def _write_record(self, values: dict[str, Any]) -> None:
        settings = self.config.as_dict()
        head = {"condensation": settings, "digest": digest(settings), **provenance()}
        write_json(self.path / RECORD, {**head, **values})


def read_record(folder: Path) -> tuple[CondensationConfig, dict[str, Any]]:
    """Return the settings of the condensation in a folder, and all that is recorded of it.

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
