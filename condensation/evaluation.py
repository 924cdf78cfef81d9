"""What a synthetic set is worth: a fresh network trained on it, as an ordinary run beside those on selected sets."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from condensation.condensation_folder import RECORD, read_record
from condensation.config import CondensationConfig
from experiments import coreset_files as selected
from experiments.coreset_files import Material, Selected, read_timing, sound, write_timing
from experiments.retraining import Timing
from utils.config import ExecutionConfig, RunConfig, SelectionConfig, TrainingConfig
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.data.synthetic_set import Synthetic, as_data, is_synthetic, load_synthetic
from utils.errors import UserError
from utils.records.run_folder import Run, read_run_config
from utils.training.task import Machine


@dataclass(frozen=True, eq=False)
class Condensed:
    """A synthetic set as what a run is trained on, what making it took, and its file where that never changes."""

    synthetic: Synthetic
    timing: Timing = field(default_factory=Timing)
    path: Path | None = None

    def itself(self) -> Condensed:
        """This one, where something is asked for that makes one."""
        return self

    def check(self, folder: Path) -> None:
        """Raise UserError where a run in this folder is on another set."""
        there = None
        with suppress(UserError):  # missing, or damaged: the run will be made again
            there = load_synthetic(folder / "coreset.npz")
        if there is not None and there.digest() != self.synthetic.digest():
            raise UserError(f"{folder} holds an evaluation of another synthetic set; move it away")

    def save(self, run: Run) -> None:
        """See that the run's coreset is this set: the same file where it can be linked."""
        write_timing(run, self.timing)
        if self.path is not None:
            with suppress(OSError):
                os.link(self.path, run.coreset_path)
                return
        self.synthetic.save(run.coreset_path)

    def material(self, data: Data) -> Material:
        """All of the set in place of the training images. Raises UserError where they do not go together."""
        return Material(as_data(self.synthetic, data), np.arange(len(self.synthetic)))

    def analysis(self, run: Run, data: Data, execution: ExecutionConfig, machine: Machine) -> None:
        """Nothing. Raises UserError where something was asked for."""
        if execution.after_analyses or execution.exact_analyses:
            raise UserError(
                "--after_analyses and --exact_analyses look at images that were selected; "
                "leave them out where a synthetic set is trained on"
            )


def evaluation_config(
    config: CondensationConfig, training: TrainingConfig, model: str, repeat: int, fraction: float
) -> RunConfig:
    """The run of one evaluation network; ``fraction`` is the set's size as a part of the real one's."""
    return RunConfig(config.data, model, config.selection(), fraction, config.seed, training, repeat)


def from_elsewhere(path: Path, data: Data) -> tuple[SelectionConfig, float, Selected | Condensed]:
    """A file of a synthetic set or a coreset, how its runs call the selection, and its fraction.

    A synthetic set goes by what the folder around it records, or else by the method that its file names; its
    content is part of the configuration.

    Raises:
        UserError: neither of them, or not for this data.
    """
    if not is_synthetic(path):
        return selected.from_elsewhere(path, data)
    synthetic = load_synthetic(path)
    as_data(synthetic, data)
    selection = _recorded(path.parent) or SelectionConfig(synthetic.method)
    selection = selected.with_content(selection, synthetic.digest())
    return selection, round(len(synthetic) / len(data.pool), 6), Condensed(synthetic)


def read_reduced(path: Path) -> Selected | Condensed:
    """The synthetic set or coreset in a file. Raises UserError where it is neither."""
    if is_synthetic(path):
        return Condensed(load_synthetic(path))
    return Selected(Coreset.load(path))


def stored(run: Run) -> Selected | Condensed | None:
    """The coreset or synthetic set that a run has, or None where a part of it is missing or damaged."""
    if not (run.coreset_path.exists() and is_synthetic(run.coreset_path)):
        return Selected.load(run)
    synthetic = sound(run.coreset_path, load_synthetic)
    return None if synthetic is None else Condensed(synthetic, read_timing(run) or Timing())


def _recorded(folder: Path) -> SelectionConfig | None:
    """How the condensation, or the run, in a folder calls its selection."""
    if (folder / RECORD).exists():
        return read_record(folder)[0].selection()
    if (folder / "config.json").exists():
        return read_run_config(folder).selection
    return None
