"""A scenario from its first step to its last: each step fills the memory, trains, tests, and is recorded.

A step is a stage: what it came to is in a folder of its own within the run's. A run that was stopped goes on with the
first step that is not complete, inside it where its selection, its condensation or its training was, and ends bit for
bit (on a CPU) as if it had not been stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from continual_learning.filling import check, fill
from continual_learning.memory import Memory
from continual_learning.protocols import TRAINING_SETS, Step
from continual_learning.seen_classes import accuracy, among, tested_on
from experiments.data import data_for
from experiments.retraining import fresh_network, retraining_purpose, wrong_labels
from nets import Network
from utils.config import RunConfig
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.data.small_set import load_small_set
from utils.device import describe_device, forget_peak_memory, peak_memory
from utils.errors import UserError, ornament
from utils.files import write_atomic
from utils.records.continual_measures import ContinualMeasures
from utils.records.folder import read_sealed, sound, write_sealed
from utils.records.run_folder import RunFolder, read_timing
from utils.records.summary import PHASES, Summary, Timing, summarise
from utils.scenario import PROTOCOLS, Protocol, ScenarioConfig
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.history import Epoch, read_history, write_history
from utils.training.machine import Machine
from utils.training.trainer import Training

SHEET = "memory.png"


@dataclass(frozen=True)
class StepResult:
    """What a step came to; accuracies in percent.

    Attributes:
        row: the accuracy on the classes of each step up to this one.
        accuracy: on all classes seen.
        memory: digest of the memory that it left.
    """

    classes: tuple[int, ...]
    row: tuple[float, ...]
    accuracy: float
    training_steps: int
    seconds: Mapping[str, float]
    wrong_labels: float | None
    memory: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StepResult:
        """Return the result that JSON holds."""
        return cls(**{**values, "classes": tuple(values["classes"]), "row": tuple(values["row"])})


@dataclass(frozen=True)
class StepFolder:
    """The files of one step."""

    path: Path

    @property
    def memory(self) -> Path:
        """The memory that the step leaves."""
        return self.path / "memory.npz"

    @property
    def timing(self) -> Path:
        """What filling it took."""
        return self.path / "filling.json"

    @property
    def network(self) -> Path:
        """The network at the end of the step, until the next step is complete."""
        return self.path / "network.pt"

    @property
    def checkpoint(self) -> Path:
        """The state of the training that is under way."""
        return self.path / "training.pt"

    @property
    def condensation(self) -> Path:
        """The state of the condensation that is under way."""
        return self.path / "condensation.pt"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.path / "history.csv"

    @property
    def result(self) -> Path:
        """What the step came to; written last."""
        return self.path / "step.json"

    def clean(self, *names: str) -> None:
        """Delete files that are not needed any more."""
        for name in names:
            getattr(self, name).unlink(missing_ok=True)


class Stages:
    """The steps of one run.

    Args:
        run: its folder, entered; its configuration passes :func:`check_fits`.
    """

    def __init__(self, run: RunFolder, machine: Machine) -> None:
        self.run, self.config, self.machine, self.world = run, run.config, machine, machine.world
        self.scenario, self.protocol = scenario_of(run.config)
        self.data = data_for(self.config.model, self.config.data, self.config.seed, machine)
        self.steps = self.scenario.classes(self.data.spec.num_classes)
        self.peak_memory = 0  # of the steps done by this process

    def complete(self) -> Summary:
        """Do the steps that are left, and record what all of them came to.

        Raises:
            DivergedError: a loss or a pixel became NaN or infinite.
        """
        forget_peak_memory(self.machine.device)
        results = self.world.on_rank_zero(self._complete_steps)
        memory, network = self._state_after(len(results))
        for number in range(len(results), len(self.steps)):
            result, memory, network = self._step(number, memory, network)
            self.peak_memory = max(self.peak_memory, peak_memory(self.machine.device))
            results.append(result)
        return self._finish(results, memory)

    def folder(self, number: int) -> StepFolder:
        """Return the folder of a step, counted from 0."""
        return StepFolder(self.run.path / f"step_{number + 1:02d}")

    def _complete_steps(self) -> list[StepResult]:
        """Return the results of the first steps, as many as the run can go on from."""
        results = []
        for number in range(len(self.steps)):
            result = sound(self.folder(number).result, _read_result)
            if result is None or result.classes != self.steps[number]:
                break
            results.append(result)
        while results and not self._stands(len(results) - 1, results[-1]):
            results.pop()
        return results

    def _stands(self, number: int, result: StepResult) -> bool:
        """Return whether a step left all that the next one goes on from."""
        folder = self.folder(number)
        memory = sound(folder.memory, load_small_set)
        if memory is None or memory.digest() != result.memory:
            return False
        last = number + 1 == len(self.steps)
        return last or not self.protocol.continues or load_checkpoint(folder.network, "cpu") is not None

    def _state_after(self, steps: int) -> tuple[Memory, Network]:
        """Return memory and network as that many steps left them."""
        network = fresh_network(self.config, self.data.spec)
        if not steps:
            return Memory.empty(), network
        folder = self.folder(steps - 1)
        memory = Memory.of(self.world.on_rank_zero(load_small_set, folder.memory), self.data)
        state = self.world.on_rank_zero(load_checkpoint, folder.network, "cpu")
        if state is not None:
            network.load_state_dict(state["network"])
        return memory, network

    def _step(self, number: int, before: Memory, network: Network) -> tuple[StepResult, Memory, Network]:
        """Do one step; return what it came to, the memory that it leaves, and its network."""
        folder, classes = self.folder(number), self.steps[number]
        seen = tuple(label for step in self.steps[: number + 1] for label in step)
        after, timing = self._filled(folder, classes, len(seen), before)
        step = Step(tested_on(self.data, seen), classes, seen, before, after)
        training_set = TRAINING_SETS[self.scenario.protocol](step)
        if not self.protocol.continues:
            network = fresh_network(self.config, self.data.spec)
        classifier = among(network, seen, self.data.spec.num_classes)
        training = Training(
            classifier,
            training_set,
            self.config.training,
            seed=self.config.seed,
            purpose=retraining_purpose(self.config.repeat),
            label=f"step {number + 1} of {len(self.steps)}, {self.config.model} on {len(training_set)} images",
            machine=self.machine,
            checkpoint=folder.checkpoint,
        ).run()
        result = StepResult(
            classes,
            tuple(self._accuracy(classifier, each) for each in self.steps[: number + 1]),
            training.history[-1].test_accuracy or 0.0,
            training.steps,
            {**timing.seconds, "training": training.seconds},
            wrong_labels(training_set),
            after.images.digest(),
        )
        self.world.on_rank_zero(self._record, number, result, training.history, network)
        print(f"{self.run.path}: step {number + 1}, {len(seen)} classes, accuracy {result.accuracy:.2f} %", flush=True)
        return result, after, network

    def _accuracy(self, classifier: nn.Module, classes: Sequence[int]) -> float:
        return accuracy(classifier, self.data, classes, self.config.training.amp, self.machine)

    def _filled(self, folder: StepFolder, classes: Sequence[int], seen: int, before: Memory) -> tuple[Memory, Timing]:
        """Return the memory with a step's classes, filled where it is not in the step's folder yet."""
        if not self.protocol.keeps_memory:
            self.world.on_rank_zero(before.images.save, folder.memory)
            return before, Timing()
        kept = self.world.on_rank_zero(self._kept, folder)
        if kept is not None:
            return Memory.of(kept[0], self.data), kept[1]
        quota = self.scenario.quota(seen)
        images, timing = fill(self.config, classes, before, quota, self.machine, folder.condensation)
        after = before.shrunk(quota).with_images(images, self.data)
        self.world.on_rank_zero(self._keep, folder, after, timing)
        return after, timing

    def _kept(self, folder: StepFolder) -> Any:
        memory, timing = sound(folder.memory, load_small_set), sound(folder.timing, read_timing)
        return None if memory is None or timing is None else (memory, timing)

    def _keep(self, folder: StepFolder, memory: Memory, timing: Timing) -> None:
        write_sealed(folder.timing, asdict(timing))
        memory.images.save(folder.memory)
        folder.clean("condensation")

    def _record(self, number: int, result: StepResult, history: Sequence[Epoch], network: Network) -> None:
        folder = self.folder(number)
        write_history(folder.history, history)
        if self.protocol.continues:
            save_checkpoint(folder.network, {"network": network.state_dict()})
        write_sealed(folder.result, asdict(result))
        folder.clean("checkpoint")
        if number:
            self.folder(number - 1).clean("network")

    def _finish(self, results: Sequence[StepResult], memory: Memory) -> Summary:
        seconds = {phase: sum(result.seconds.get(phase, 0.0) for result in results) for phase in PHASES}
        self.run.keep(memory.images, Timing({phase: seconds[phase] for phase in PHASES[:-1]}))
        history = self.world.on_rank_zero(read_history, self.folder(len(self.steps) - 1).history)
        self.world.on_rank_zero(self.run.write_history, history)
        summary = summarise(
            self.config,
            history,
            coreset_size=len(memory),
            pool_size=len(self.data.pool),
            training_steps=sum(result.training_steps for result in results),
            seconds=seconds,
            wrong_labels=results[-1].wrong_labels,
            continual=ContinualMeasures.of(
                self.steps, [result.row for result in results], [result.accuracy for result in results]
            ),
            peak_memory_bytes=max(self.world.all_gather_object(self.peak_memory)),
            device=describe_device(self.machine.device, self.world.size),
        )
        self.world.on_rank_zero(self._close, memory, summary)
        return summary

    def _close(self, memory: Memory, summary: Summary) -> None:
        self.run.finish(summary)
        for number in range(len(self.steps)):
            self.folder(number).clean("network", "checkpoint", "condensation")
        if len(memory):
            with ornament(SHEET):
                _draw(self.run.path / SHEET, memory, self.data, self.config)


def check_fits(config: RunConfig, machine: Machine) -> None:
    """Raise UserError where the scenario does not fit the data."""
    data = data_for(config.model, config.data, config.seed, machine)
    check(config, data, scenario_of(config)[0].classes(data.spec.num_classes))


def scenario_of(config: RunConfig) -> tuple[ScenarioConfig, Protocol]:
    """Return the scenario of a run, and its protocol. Raises UserError where all classes come at once."""
    if config.scenario is None:
        raise UserError(f"{config.name()} is a run without steps; main.py goes on with it")
    return config.scenario, PROTOCOLS[config.scenario.protocol]


def _read_result(path: Path) -> StepResult:
    try:
        return StepResult.from_dict(read_sealed(path))
    except (TypeError, KeyError) as error:
        raise UserError(f"{path} does not say what a step came to: {error}") from error


def _draw(path: Path, memory: Memory, data: Data, config: RunConfig) -> None:
    from utils.records.contact_sheet import contact_sheet, pictures_of, synthetic_sheet  # here, for matplotlib's sake

    title, names = f"{config.name()}: the memory after the last step", data.spec.class_names
    if isinstance(memory.images, Coreset):
        sheet = contact_sheet(pictures_of(data), memory.images.indices, title=title, picks=10, classes=100)
    else:
        sheet = synthetic_sheet(memory.images, names, title)
    write_atomic(path, sheet)
