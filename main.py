"""Select a coreset with a proxy network, retrain a fresh network on it, record the run, print the table.

    python main.py --dataset Digits --model MLP --selection LCMat --fraction 0.05 0.1 0.3 --num_exp 3

Finished runs are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import sys
from dataclasses import replace
from pathlib import Path

from experiments.arguments import parse
from experiments.command_line import Settings
from experiments.coreset_files import train_on_given
from experiments.data import as_found
from experiments.resume import resume
from experiments.retraining import leave_selected, retrain, retrainings
from experiments.selection import Selection
from utils.cli import run_main
from utils.distributed import world_from_environment
from utils.records.run_folder import RunFolder, run_path
from utils.records.tables import load_table
from utils.training.machine import Machine


def main() -> None:
    """Do what the command line asks for, and print the table of its runs."""
    with world_from_environment() as world:
        settings = parse(sys.argv[1:], program="main.py", description=str(__doc__).split("\n")[0])
        machine = Machine.of(settings.execution, world)
        if settings.execution.resume:
            folders = [resume(settings, machine)]
        elif settings.coresets:
            folders = train_on_given(settings, machine)
        else:
            folders = select_and_train(settings, machine)
        if world.is_rank_zero and not settings.select_only:
            print(load_table(folders).markdown())


def select_and_train(settings: Settings, machine: Machine) -> list[Path]:
    """Complete the runs of every seed and size, as far as is asked for; return their folders."""
    finish = leave_selected if settings.select_only else retrain
    settings = replace(settings, data=as_found(settings.data, machine))
    folders = []
    for seed in settings.seeds:
        selection = Selection(settings.run(settings.sizes[0], seed), settings.sizes, machine)
        for size in settings.sizes:
            for config in retrainings(settings.run(size, seed), settings):
                if not machine.world.on_rank_zero(run_path(config, settings.execution.save_path).exists):
                    selection.budgets()  # a size that cannot be is refused before a folder is made
                with RunFolder(config, settings.execution.save_path, machine.world) as run:
                    selection.keep(run, size)
                    folders.append(finish(run, machine))
    return folders


if __name__ == "__main__":
    raise SystemExit(run_main(main))
