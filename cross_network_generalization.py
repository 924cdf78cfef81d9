"""Retrain other networks on coresets that were selected before, and print selecting × trained network.

    python cross_network_generalization.py --dataset CIFAR10 --selection LCMat --fraction 0.01 --save_path result

Every run under --save_path that matches the flags given takes part, whatever its seed; --model given names the
network that selected, and it is trained as well as each of --cross.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

import nets
from condensation.evaluation import from_elsewhere, read_reduced, stored
from experiments.arguments import parse
from experiments.coreset_files import Job, complete
from experiments.resume import resume
from methods import METHODS
from utils.cli import run_main
from utils.config import RunConfig, Settings
from utils.data.load import Data, load_once
from utils.device import pick_device
from utils.distributed import current_world, world_from_environment
from utils.errors import UserError
from utils.flags import flags_of
from utils.records.cross_networks import cross_table
from utils.records.plots import cross_plot
from utils.records.run_folder import FinishedRun, find_runs
from utils.records.tables import load_table

_SHOWN = 8
DEFAULT_CROSS = ("VGG16", "InceptionV3", "ResNet34", "WRN168", "MobileNetV3Small")


def main() -> None:
    description = str(__doc__).split("\n")[0]
    with world_from_environment() as world:
        settings = parse(
            sys.argv[1:], program="cross_network_generalization.py", cross=DEFAULT_CROSS, description=description
        )
        device = pick_device(settings.execution.gpu, world.local_rank)
        folders = [resume(settings, device, stored)] if settings.execution.resume else run(settings, device)
        if world.is_rank_zero:
            report(folders, folders[0].parent / "cross_networks.png")


def report(folders: Sequence[Path], picture: Path) -> None:
    """Print the table of these runs, and draw it."""
    runs = load_table(folders).runs
    cross_plot(runs, picture)
    print(f"\n{cross_table(runs)}\n\nplot: {picture}")


def run(settings: Settings, device: torch.device) -> list[Path]:
    """Train every network on every coreset that is asked for; the runs' folders."""
    jobs = list(given(settings) if settings.coresets else found(settings))
    load = functools.partial(load_for, settings)
    return [complete(job, settings.execution, device, functools.partial(load, job.config)) for job in jobs]


def found(settings: Settings) -> Iterator[Job]:
    """The networks on every coreset among the runs that match; the same coreset of several runs counts once."""
    runs = current_world().on_rank_zero(find_runs, settings.execution.save_path)
    matching = [run for run in runs if run.summary is not None and matches(run.config, settings)]
    if not matching:
        raise nothing_found(settings, runs)
    sources = {
        (str(run.config.data), str(run.config.selection), run.config.fraction, run.config.seed): run for run in matching
    }
    for run in sources.values():
        reduced = read_reduced(run.path / "coreset.npz")
        for config in retrainings(run.config, settings):
            yield Job(config, reduced.itself, stored)


def given(settings: Settings) -> Iterator[Job]:
    """The networks on every coreset file, with each seed."""
    for seed in settings.seeds:
        for path in settings.coresets:
            config = settings.run(1.0, seed)
            selection, fraction, reduced = from_elsewhere(Path(path), load_for(settings, config, settings.model))
            config = dataclasses.replace(config, selection=selection, fraction=fraction)
            for each in retrainings(config, settings):
                yield Job(each, reduced.itself, stored)


def retrainings(config: RunConfig, settings: Settings) -> Iterator[RunConfig]:
    """The run for --model and each --cross network, trained as the flags say, as often as --num_eval says."""
    for model in (settings.model, *settings.cross):
        for repeat in range(settings.num_eval):
            yield dataclasses.replace(config, model=model, training=settings.training, repeat=repeat)


def load_for(settings: Settings, config: RunConfig, model: str) -> Data:
    """The run's data, from --data_path, at the size that ``model`` takes."""
    data = dataclasses.replace(config.data, data_path=settings.data.data_path)
    seed = config.seed if data.val else 0
    return load_once(data, nets.smallest_image(model), seed, settings.execution.workers)


def matches(config: RunConfig, settings: Settings) -> bool:
    """Whether a run agrees with every flag given that says something of the data or the selection."""
    selection, flags = config.selection, settings.given
    selector = settings.selection.model or settings.model
    options = settings.selection.options
    names = flags_of(METHODS[settings.selection.method])
    tests = {
        "dataset": config.data.dataset == settings.data.dataset,
        "im_size": config.data.im_size == settings.data.im_size,
        "val": config.data.val == settings.data.val,
        "selection": selection.method == settings.selection.method,
        "fraction": config.fraction in settings.fractions,
        "seed": config.seed in settings.seeds,
        "balance": selection.balance == settings.selection.balance,
        "model": selection.model in (None, selector),
        "selection_model": selection.model in (None, selector),
        **{names[name].name: selection.options.get(name, value) == value for name, value in options.items()},
    }
    return all(agrees for flag, agrees in tests.items() if flag in flags)


def described(config: RunConfig) -> str:
    """A run by what it can be asked for."""
    selection = config.selection
    selector = f" --selection_model {selection.model}" if selection.model else ""
    return f"--dataset {config.data.dataset} --selection {selection.method}{selector} --fraction {config.fraction:g}"


def nothing_found(settings: Settings, runs: Sequence[FinishedRun]) -> UserError:
    """What was looked for, and which runs there are."""
    looked_for = {
        "dataset": settings.data.dataset,
        "selection": settings.selection.method,
        "selection_model": settings.selection.model or settings.model,
        "model": settings.model,
        "fraction": " ".join(f"{fraction:g}" for fraction in settings.fractions),
        "seed": " ".join(str(seed) for seed in settings.seeds),
    }
    asked = " ".join(f"--{flag} {value}" for flag, value in looked_for.items() if flag in settings.given)
    there = list(dict.fromkeys(described(run.config) for run in runs if run.summary is not None))
    more = f"; and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    held = f"there are: {'; '.join(there[:_SHOWN])}{more}" if there else "there are none"
    return UserError(
        f"no finished run in {settings.execution.save_path} matches {asked or 'the flags'}; {held}. "
        "Make one with main.py, or name a --coreset FILE.npz"
    )


if __name__ == "__main__":
    raise SystemExit(run_main(main))
