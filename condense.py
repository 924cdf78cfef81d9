"""Learn a small synthetic set in place of a large real one, train fresh networks on it, print the table.

    python condense.py --dataset Digits --method LCMat --ipc 1 --iterations 100 --curvature diagonal --num_eval 3

Finished condensations and evaluations are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path

import torch

import nets
from condensation.arguments import Command, parse
from condensation.condensation_folder import Cost, Folder
from condensation.config import CondensationConfig
from condensation.evaluation import Condensed, evaluation_config, stored
from condensation.learning import Condensation
from experiments.coreset_files import Job, complete
from experiments.retraining import Timing, machine_of
from utils.cli import run_main
from utils.data.load import Data, load_once
from utils.data.synthetic_set import load_synthetic
from utils.device import describe_device, peak_memory, pick_device
from utils.records.run_folder import run_folder
from utils.records.tables import load_table


def main() -> None:
    description = str(__doc__).split("\n")[0]
    command = parse(sys.argv[1:], description=description)
    device = pick_device(command.execution.gpu)
    folders = []
    for config in command.condensations:
        experiment = Experiment(config, command, device)
        folders += experiment.evaluate(experiment.condense())
    if folders:
        print(load_table(folders).markdown())


class Experiment:
    """One condensation and the runs that evaluate it."""

    def __init__(self, config: CondensationConfig, command: Command, device: torch.device) -> None:
        self.config, self.command, self.device = config, command, device

    def condense(self) -> Condensed:
        """The synthetic set, learned now where it is not there yet."""
        execution = self.command.execution
        with Folder(self.config, execution.save_path) as folder:
            cost = folder.finished()
            if cost is None:
                cost = self._learn(folder)
            print(
                f"{folder.path}: {self.config.label}, {self.config.ipc} images per class, "
                f"{cost.iterations_per_second:.3g} iterations/s, {cost.peak_memory_bytes / 1e6:.0f} MB",
                flush=True,
            )
            path = folder.synthetic_path
            return Condensed(load_synthetic(path), Timing({"selection": cost.seconds}), path)

    def _learn(self, folder: Folder) -> Cost:
        data, execution = self.data(self.config.model), self.command.execution
        machine = dataclasses.replace(machine_of(execution, self.device), checkpoint=folder.checkpoint_path)
        show = functools.partial(folder.show, data.spec.class_names)
        outcome = Condensation(self.config, data, machine, show).run()
        cost = Cost(
            outcome.seconds,
            self.config.iterations / max(outcome.seconds, 1e-9),
            peak_memory(self.device),
            describe_device(self.device),
        )
        folder.finish(outcome.synthetic, cost)
        return cost

    def evaluate(self, condensed: Condensed) -> list[Path]:
        """The folders of all runs on the synthetic set, finished."""
        command, data = self.command, self.data(self.config.model)
        fraction = round(len(condensed.synthetic) / len(data.pool), 6)
        configs = [
            evaluation_config(self.config, command.training, model, repeat, fraction)
            for model in command.networks
            for repeat in range(command.num_eval)
        ]
        for config in configs:
            condensed.check(run_folder(config, command.execution.save_path))
        jobs = [Job(config, condensed.itself, stored) for config in configs]
        return [complete(job, command.execution, self.device, self.data) for job in jobs]

    def data(self, model: str) -> Data:
        """The data set at the size that ``model`` takes."""
        config = self.config.data
        split_seed = self.config.seed if config.val else 0
        return load_once(config, nets.smallest_image(model), split_seed, self.command.execution.workers)


if __name__ == "__main__":
    raise SystemExit(run_main(main))
