"""A coreset beside its run: selected now, before, or elsewhere; and the run that is retrained on it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

import nets
from methods.analyses import analyse
from methods.coreset import Coreset
from utils.config import ExecutionConfig, RunConfig, SelectionConfig, digest
from utils.data import Data
from utils.distributed import World, current_world
from utils.errors import UserError
from utils.files import read_json, set_aside, write_json
from utils.record import Run, read_run_config
from utils.retraining import AfterTraining, Timing, machine_of, retrain
from utils.training import DivergedError, Machine

_TIMING = "selection.json"
FROM_ELSEWHERE = "content"  # the option that tells coresets made elsewhere from each other
T = TypeVar("T")


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
        timing = dataclasses.asdict(self.timing)
        write_json(run.path / _TIMING, {**timing, "digest": digest(timing)})
        self.coreset.save(run.coreset_path)

    @classmethod
    def load(cls, run: Run) -> Selected | None:
        """What an earlier process put there, or None where a part of it is missing or damaged."""
        timing, coreset = _sound(run.path / _TIMING, _read_timing), _sound(run.coreset_path, Coreset.load)
        return None if timing is None or coreset is None else cls(coreset, timing)


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
    config, world = job.config, current_world()
    with Run.open(config, execution.save_path, world) as run:
        summary = world.lead(run.summary)
        if summary is None:
            selected = world.lead(Selected.load, run)
            if selected is None:
                selected = _select(job, run, world)
            data, coreset = load(config.model), selected.coreset
            coreset.check_fits(len(data.train))
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
    options = {FROM_ELSEWHERE: content.hexdigest()[:16]}
    if (path.parent / "config.json").exists():
        selection = read_run_config(path.parent).selection
        selection = dataclasses.replace(selection, options={**selection.options, **options})
    else:
        name = "".join(c if c.isalnum() else "-" for c in path.stem).strip("-") or "file"
        selection = SelectionConfig(name, balance=False, options=options)
    return selection, round(len(coreset) / len(data.pool), 6), Selected(coreset)


def _select(job: Job, run: Run, world: World) -> Selected:
    try:
        selected = job.select()
    except DivergedError as error:
        world.lead(run.fail, str(error))
        raise
    world.lead(selected.save, run)
    return selected


def _sound(path: Path, read: Callable[[Path], T]) -> T | None:
    """What ``read`` finds in a file; None where there is no file, or a damaged one, which is set aside."""
    try:
        return read(path) if path.exists() else None
    except UserError as error:
        set_aside(path, f"is damaged ({error})")
        return None


def _read_timing(path: Path) -> Timing:
    values = read_json(path)
    if not isinstance(values, dict) or values.pop("digest", None) != digest(values):
        raise UserError("its digest does not match")
    return Timing(**values)


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
