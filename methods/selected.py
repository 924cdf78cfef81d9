"""A coreset beside its run: selected now, before, or elsewhere; and the run that is retrained on it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import nets
from methods.analyses import analyse
from methods.coreset import Coreset
from utils.config import ExecutionConfig, RunConfig, SelectionConfig
from utils.data import Data
from utils.errors import UserError
from utils.files import read_json, write_json
from utils.record import Run, read_run_config
from utils.retraining import AfterTraining, Timing, machine_of, retrain
from utils.training import Machine

_TIMING = "selection.json"


@dataclass(frozen=True, eq=False)
class Selected:
    """A coreset and what the phases that made it took."""

    coreset: Coreset
    timing: Timing = field(default_factory=Timing)

    def itself(self) -> Selected:
        """This one, where something is asked for that makes one."""
        return self

    def save(self, run: Run) -> None:
        """Put both into the run's folder."""
        write_json(run.path / _TIMING, dataclasses.asdict(self.timing))
        self.coreset.save(run.coreset_path)

    @classmethod
    def load(cls, run: Run) -> Selected | None:
        """What an earlier process put there, or None."""
        timing = run.path / _TIMING
        if not (run.coreset_path.exists() and timing.exists()):
            return None
        return cls(Coreset.load(run.coreset_path), Timing(**read_json(timing)))


@dataclass(frozen=True)
class Job:
    """A run to complete, and how to come by its coreset where it has none yet."""

    config: RunConfig
    select: Callable[[], Selected]


def complete(job: Job, execution: ExecutionConfig, device: torch.device, load: Callable[[str], Data]) -> Path:
    """Do what is missing of a run's coreset and retraining; a finished run is kept. Returns its folder.

    Args:
        load: from the name of a network to the data at the size that it takes.
    """
    config = job.config
    with Run.open(config, execution.save_path) as run:
        summary = run.summary()
        if summary is None:
            selected = Selected.load(run)
            if selected is None:
                selected = job.select()
                selected.save(run)
            data, coreset = load(config.model), selected.coreset
            machine = machine_of(execution, device, run)
            after = _analysis(run, data, coreset, execution, machine)
            summary = retrain(run, data, coreset.indices, coreset.weights, selected.timing, machine, after)
    print(f"{run.path}: {summary.coreset_size} images, final accuracy {summary.final_accuracy:.2f} %", flush=True)
    return run.path


def from_elsewhere(path: Path, data: Data) -> tuple[SelectionConfig, float, Selected]:
    """A coreset file of this project's or another's, how its runs call the selection, and its fraction.

    A file in a run's folder goes by its run's method and network, another by its own name; either way its
    content is part of the configuration.

    Raises:
        UserError: no sound coreset, or indices outside the training set.
    """
    coreset = Coreset.load(path)
    if not len(coreset):
        raise UserError(f"{path} holds no indices")
    coreset.check_fits(len(data.train))
    content = hashlib.sha256(coreset.indices.tobytes())
    content.update(b"" if coreset.weights is None else coreset.weights.tobytes())
    options = {"content": content.hexdigest()[:16]}
    if (path.parent / "config.json").exists():
        selection = read_run_config(path.parent).selection
        selection = dataclasses.replace(selection, options={**selection.options, **options})
    else:
        name = "".join(c if c.isalnum() else "-" for c in path.stem).strip("-") or "file"
        selection = SelectionConfig(name, balance=False, options=options)
    return selection, round(len(coreset) / len(data.pool), 6), Selected(coreset)


def _analysis(
    run: Run, data: Data, coreset: Coreset, execution: ExecutionConfig, machine: Machine
) -> AfterTraining | None:
    """What measures the loss landscapes of coreset and full set at the retrained network, where it is asked for."""
    if not (execution.after_analyses or execution.exact_analyses):
        return None

    def measure(network: nets.Network) -> None:
        gaps = analyse(network, data, coreset, machine, exact=execution.exact_analyses)
        write_json(run.path / "analyses.json", {name: dataclasses.asdict(each) for name, each in gaps.items()})
        for name, each in gaps.items():
            print(f"{name}: {each}")

    return measure
