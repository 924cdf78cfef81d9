"""Retrain other networks on coresets that were selected before, and print selecting × trained network.

    python cross_network_generalization.py --dataset CIFAR10 --selection LCMat --fraction 0.01 --save_path result

Every run under --save_path that matches the flags given takes part, whatever its seed; --model given names the
network that selected, and it is trained as well as each of --cross.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.arguments import parse
from experiments.command_line import Settings
from experiments.coreset_files import train_on_given
from experiments.data import as_found
from experiments.previous_runs import selected_before
from experiments.resume import resume
from experiments.retraining import retrain, retrainings
from utils.cli import run_main
from utils.data.fingerprint import check_made_of
from utils.data.small_set import load_small_set
from utils.distributed import world_from_environment
from utils.errors import ornament
from utils.records.cross_networks import cross_table
from utils.records.folder import check_same_data
from utils.records.run_folder import RunFolder
from utils.records.summary import Timing
from utils.records.tables import load_table
from utils.training.machine import Machine

DEFAULT_CROSS = ("VGG16", "InceptionV3", "ResNet34", "WRN168", "MobileNetV3Small")


def main() -> None:
    """Do what the command line asks for, print the matrix of its runs, and draw it."""
    program, description = "cross_network_generalization.py", str(__doc__).split("\n")[0]
    with world_from_environment() as world:
        settings = parse(sys.argv[1:], program=program, cross=DEFAULT_CROSS, description=description)
        machine = Machine.of(settings.execution, world)
        if settings.execution.resume:
            folders = [resume(settings, machine)]
        elif settings.coresets:
            folders = train_on_given(settings, machine)
        else:
            folders = train_on_found(settings, machine)
        if world.is_rank_zero:
            report(folders, folders[0].parent / "cross_networks.png")


def train_on_found(settings: Settings, machine: Machine) -> list[Path]:
    """Train every network on every coreset of the runs that match the flags; return the runs' folders."""
    folders = []
    for found in machine.world.on_rank_zero(selected_before, settings):
        data = as_found(found.config.data.found_at(settings.data.data_path), machine)
        check_same_data(found.path, found.config.data, data)
        check_made_of(found.path, found.config.data.train_images, data)
        for config in retrainings(dataclasses.replace(found.config, data=data), settings):
            with RunFolder(config, settings.execution.save_path, machine.world) as run:
                if run.needs_coreset:
                    run.keep(load_small_set(found.path / "coreset.npz"), Timing())
                folders.append(retrain(run, machine))
    return folders


def report(folders: Sequence[Path], picture: Path) -> None:
    """Print the table and the matrix of these runs, and draw the matrix."""
    runs = load_table(folders).runs
    print(f"\n{cross_table(runs)}\n")
    with ornament("the plot"):
        from utils.records.plots import cross_plot  # here, because matplotlib takes a quarter of a second

        cross_plot(runs, picture)
        print(f"plot: {picture}")


if __name__ == "__main__":
    raise SystemExit(run_main(main))
