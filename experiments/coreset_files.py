"""A coreset beside its run: selected now, before, or elsewhere; and the run that is retrained on it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch

import nets
from experiments.landscape_gaps import analyse
from experiments.retraining import AfterTraining, Timing, machine_of, retrain
from utils.config import ExecutionConfig, RunConfig, SelectionConfig, digest
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.distributed import World, current_world
from utils.errors import UserError
from utils.files import read_json, set_aside, write_json
from utils.records.run_folder import Run, read_run_config
from utils.training.task import Machine
from utils.training.trainer import DivergedError

_TIMING = "selection.json"
FROM_ELSEWHERE = "content"  # the option that tells coresets made elsewhere from each other
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Material:
    """What a run trains on: images of ``data.train``, int64 [k], with weights, float32 [k], or None."""

    data: Data
    indices: np.ndarray
    weights: np.ndarray | None = None


class Reduced(Protocol):
    """A small set in place of a large one, and what the phases that made it took."""

    @property
    def timing(self) -> Timing: ...

    def save(self, run: Run) -> None:
        """Put both into the run's folder."""

    def material(self, data: Data) -> Material:
        """The set as a part of ``data``, or in its place. Raises UserError where it does not fit."""

    def analysis(self, run: Run, data: Data, execution: ExecutionConfig, machine: Machine) -> AfterTraining | None:
        """What is to be measured at the retrained network, where that is asked for."""


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
        write_timing(run, self.timing)
        self.coreset.save(run.coreset_path)

    @classmethod
    def load(cls, run: Run) -> Selected | None:
        """What an earlier process put there, or None where a part of it is missing or damaged."""
        timing, coreset = read_timing(run), sound(run.coreset_path, Coreset.load)
        return None if timing is None or coreset is None else cls(coreset, timing)

    def material(self, data: Data) -> Material:
        """The images that were picked. Raises UserError where there are fewer images."""
        self.coreset.check_fits(len(data.train))
        return Material(data, self.coreset.indices, self.coreset.weights)

    def analysis(self, run: Run, data: Data, execution: ExecutionConfig, machine: Machine) -> AfterTraining | None:
        """What measures the loss landscapes of coreset and full set at the retrained network, where it is asked for."""
        if not (execution.after_analyses or execution.exact_analyses):
            return None

        def measure(network: nets.Network) -> None:
            gaps = analyse(network, data, self.coreset, machine, exact=execution.exact_analyses)
            write_json(run.path / "analyses.json", {name: dataclasses.asdict(each) for name, each in gaps.items()})
            for name, each in gaps.items():
                print(f"{name}: {each}")

        return measure


@dataclass(frozen=True)
class Job:
    """A run to complete, how to come by its coreset where it has none yet, and how to read the one that it has."""

    config: RunConfig
    select: Callable[[], Reduced]
    stored: Callable[[Run], Reduced | None] = Selected.load


def complete(job: Job, execution: ExecutionConfig, device: torch.device, load: Callable[[str], Data]) -> Path:
    """Do what is missing of a run's coreset and retraining; a finished run is kept. Returns its folder.

    Args:
        load: from the name of a network to the data at the size that it takes.
    """
    config, world = job.config, current_world()
    with Run.open(config, execution.save_path, world) as run:
        summary = world.on_rank_zero(run.summary)
        if summary is None:
            reduced = world.on_rank_zero(job.stored, run)
            if reduced is None:
                reduced = _select(job, run, world)
            machine = machine_of(execution, device, run)
            data = load(config.model)
            material, after = reduced.material(data), reduced.analysis(run, data, execution, machine)
            summary = retrain(run, material.data, material.indices, material.weights, reduced.timing, machine, after)
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
    if (path.parent / "config.json").exists():
        selection = read_run_config(path.parent).selection
    else:
        name = "".join(c if c.isalnum() else "-" for c in path.stem).strip("-") or "file"
        selection = SelectionConfig(name, balance=False)
    selection = with_content(selection, content.hexdigest()[:16])
    return selection, round(len(coreset) / len(data.pool), 6), Selected(coreset)


def with_content(selection: SelectionConfig, content: str) -> SelectionConfig:
    """The selection of a file with this digest."""
    return dataclasses.replace(selection, options={**selection.options, FROM_ELSEWHERE: content})


def _select(job: Job, run: Run, world: World) -> Reduced:
    try:
        selected = job.select()
    except DivergedError as error:
        world.on_rank_zero(run.fail, str(error))
        raise
    world.on_rank_zero(selected.save, run)
    return selected


def sound(path: Path, read: Callable[[Path], T]) -> T | None:
    """What ``read`` finds in a file; None where there is no file, or a damaged one, which is set aside."""
    try:
        return read(path) if path.exists() else None
    except UserError as error:
        set_aside(path, f"is damaged ({error})")
        return None


def write_timing(run: Run, timing: Timing) -> None:
    """Put into the run's folder what the phases before its training took."""
    values = dataclasses.asdict(timing)
    write_json(run.path / _TIMING, {**values, "digest": digest(values)})


def read_timing(run: Run) -> Timing | None:
    """What an earlier process put there, or None where it is missing or damaged."""
    return sound(run.path / _TIMING, _read_timing)


def _read_timing(path: Path) -> Timing:
    values = read_json(path)
    if not isinstance(values, dict) or values.pop("digest", None) != digest(values):
        raise UserError("its digest does not match")
    return Timing(**values)
