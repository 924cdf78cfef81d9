"""Select a coreset with a proxy network, retrain a fresh network on it, record the run, print the table.

    python main.py --dataset Digits --model MLP --selection LCMat --fraction 0.05 0.1 0.3 --num_exp 3

Finished runs are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

import nets
from condensation.evaluation import from_elsewhere, stored
from experiments.arguments import parse
from experiments.coreset_files import Job, Selected, complete
from experiments.resume import resume
from experiments.retraining import Timing, machine_of
from experiments.selection import Pipeline
from methods.select import budgets_for
from utils.cli import run_main
from utils.config import RunConfig, Settings
from utils.data.coreset import Coreset
from utils.data.load import Data, load_once
from utils.device import pick_device
from utils.distributed import world_from_environment
from utils.records.tables import load_table


def main() -> None:
    with world_from_environment() as world:
        settings = parse(sys.argv[1:], program="main.py", description=str(__doc__).split("\n")[0])
        device = pick_device(settings.execution.gpu, world.local_rank)
        folders = [resume(settings, device, stored)] if settings.execution.resume else run(settings, device)
        if world.is_rank_zero:
            print(load_table(folders).markdown())


def run(settings: Settings, device: torch.device) -> list[Path]:
    """Complete all runs that are asked for; their folders."""
    folders = []
    for seed in settings.seeds:
        experiment = Experiment(settings, seed, device)
        jobs = experiment.given() if settings.coresets else experiment.selected()
        folders += [complete(job, settings.execution, device, experiment.data) for job in jobs]
    return folders


class Experiment:
    """All runs of one seed. They share the data and the selection, made when a run first asks for them."""

    def __init__(self, settings: Settings, seed: int, device: torch.device) -> None:
        self.settings, self.seed, self.device = settings, seed, device

    def selected(self) -> Iterator[Job]:
        """Every network on the coreset of every fraction."""
        for fraction in self.settings.fractions:
            for config in self.retrainings(self.settings.run(fraction, self.seed)):
                yield Job(config, functools.partial(self.coreset, fraction))

    def given(self) -> Iterator[Job]:
        """Every network on every coreset, selected or synthetic, that was made elsewhere."""
        for path in self.settings.coresets:
            selection, fraction, reduced = from_elsewhere(Path(path), self.data(self.settings.model))
            for config in self.retrainings(self.settings.run(fraction, self.seed, selection=selection)):
                yield Job(config, reduced.itself, stored)

    def retrainings(self, config: RunConfig) -> Iterator[RunConfig]:
        """The run for --model and each --cross network, as often as --num_eval says."""
        for model in (self.settings.model, *self.settings.cross):
            for repeat in range(self.settings.num_eval):
                yield dataclasses.replace(config, model=model, repeat=repeat)

    def coreset(self, fraction: float) -> Selected:
        """The coreset of one fraction, and what the phases that made it took."""
        return Selected(self.selection[0][fraction], self.selection[1])

    @functools.cached_property
    def selection(self) -> tuple[dict[float, Coreset], Timing]:
        """The coresets of all fractions, from one proxy and, where picks are nested, one selection."""
        settings, execution = self.settings, self.settings.execution
        data = self.data(settings.selection.model or settings.model)
        labels = data.train.labels[data.pool]
        for fraction in settings.fractions:
            budgets_for(labels, fraction, settings.selection.balance)
        pipeline = Pipeline(settings.selection, data, self.seed, machine_of(execution, self.device), execution)
        return pipeline.coresets(settings.fractions), pipeline.timing()

    def data(self, model: str) -> Data:
        """The data set at the size that ``model`` takes."""
        config = self.settings.data
        split_seed = self.seed if config.val else 0
        return load_once(config, nets.smallest_image(model), split_seed, self.settings.execution.workers)


if __name__ == "__main__":
    raise SystemExit(run_main(main))
