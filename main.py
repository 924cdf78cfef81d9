"""Select a coreset with a proxy network, retrain a fresh network on it, record the run, print the table.

    python main.py --dataset Digits --model MLP --selection LCMat --fraction 0.05 0.1 0.3 --num_exp 3

Finished runs are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path

import torch

import nets
from methods.balance import budgets_for
from methods.catalogue import method_infos
from methods.coreset import Coreset
from methods.pipeline import Pipeline
from utils.arguments import Choices, parse
from utils.cli import run_main
from utils.config import DataConfig, RunConfig, Settings
from utils.data import DATASETS, Data, load_data
from utils.device import pick_device
from utils.files import read_json, write_json
from utils.record import Run, run_folder
from utils.report import load_table
from utils.retraining import Selected, Timing, machine_of, retrain


def main() -> None:
    choices = Choices(networks=tuple(nets.NETWORKS), methods=method_infos(), datasets=tuple(DATASETS))
    settings = parse(sys.argv[1:], program="main.py", choices=choices, description=str(__doc__).split("\n")[0])
    device = pick_device(settings.execution.gpu)
    folders = []
    for seed in settings.seeds:
        experiment = Experiment(settings, seed, device)
        for config in experiment.configs():
            experiment.finish(config)
            folders.append(run_folder(config, settings.execution.save_path))
    print(load_table(folders).markdown())


class Experiment:
    """All runs of one seed. They share the data and the selection, made when a run first asks for them."""

    def __init__(self, settings: Settings, seed: int, device: torch.device) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.save_path = Path(settings.execution.save_path)

    def configs(self) -> list[RunConfig]:
        """Every network on the coreset of every fraction, as often as is asked for."""
        return [
            self.settings.run(fraction, self.seed, repeat, model)
            for fraction in self.settings.fractions
            for model in (self.settings.model, *self.settings.cross)
            for repeat in range(self.settings.num_eval)
        ]

    def finish(self, config: RunConfig) -> None:
        """See that this run is complete: select where there is no coreset yet, then retrain."""
        with Run.open(config, self.save_path) as run:
            summary = run.summary()
            if summary is None:
                selected = self.selected(run)
                machine = machine_of(self.settings.execution, self.device, run)
                summary = retrain(run, self.data(config.model), selected, machine)
            print(f"{run.path}: {summary.coreset_size} images, final accuracy {summary.final_accuracy:.2f} %")

    def selected(self, run: Run) -> Selected:
        """The run's coreset as it was saved, or as it is selected now, and what its phases took."""
        timing_path = run.path / "selection.json"
        if not (run.coreset_path.exists() and timing_path.exists()):
            write_json(timing_path, dataclasses.asdict(self.selection[1]))
            self.selection[0][run.config.fraction].save(run.coreset_path)
        coreset = Coreset.load(run.coreset_path)
        return Selected(coreset.indices, coreset.weights, Timing(**read_json(timing_path)))

    @functools.cached_property
    def selection(self) -> tuple[dict[float, Coreset], Timing]:
        """The coresets of all fractions, from one proxy and, where picks are nested, one selection."""
        settings = self.settings
        pipeline = Pipeline(
            settings.selection,
            self.data(settings.selection.model or settings.model),
            self.seed,
            machine_of(settings.execution, self.device),
            self.save_path,
            settings.execution.memory_budget,
        )
        return pipeline.coresets(settings.fractions), pipeline.timing()

    def data(self, model: str) -> Data:
        """The data set at the size that ``model`` takes; every fraction is known to leave no class empty."""
        config = self.settings.data
        split_seed = self.seed if config.val else 0
        data = load(config, nets.smallest_image(model), split_seed, self.settings.execution.workers)
        for fraction in self.settings.fractions:
            budgets_for(data.train.labels[data.pool], fraction, self.settings.selection.balance)
        return data


@functools.lru_cache(maxsize=2)
def load(config: DataConfig, smallest_image: int, split_seed: int, workers: int) -> Data:
    """The data set, kept for the next run that asks for the same."""
    return load_data(config, smallest_image, seed=split_seed, workers=workers)


if __name__ == "__main__":
    raise SystemExit(run_main(main))
