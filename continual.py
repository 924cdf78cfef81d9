"""Learn classes step by step with a small memory of those before, record each run, print the table.

    python continual.py --dataset Digits --model MLP --steps 5 --ipc 10 --selection LCMat --order_seed 0 1 2

Finished runs are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import sys
from dataclasses import replace
from pathlib import Path

from continual_learning.arguments import Command, parse
from continual_learning.stages import Stages, check_fits, scenario_of
from experiments.data import as_found
from experiments.resume import recorded_run
from utils.cli import run_main
from utils.config import RunConfig
from utils.distributed import world_from_environment
from utils.records.run_folder import RunFolder
from utils.records.tables import load_table
from utils.training.machine import Machine


def main() -> None:
    """Do what the command line asks for, and print the table of its runs."""
    with world_from_environment() as world:
        command = parse(sys.argv[1:], description=str(__doc__).split("\n")[0])
        machine = Machine.of(command.execution, world)
        folders = resume(command, machine) if command.execution.resume else complete_all(command, machine)
        if world.is_rank_zero:
            print(load_table(folders).markdown())


def complete_all(command: Command, machine: Machine) -> list[Path]:
    """Complete the run of every seed and class order; return their folders."""
    runs = [replace(run, data=as_found(run.data, machine)) for run in command.runs]
    for run in runs:
        check_fits(run, machine)
    return [complete(run, machine) for run in runs]


def resume(command: Command, machine: Machine) -> list[Path]:
    """Complete the run that ``--resume`` names, with the settings that its folder records; return its folder."""
    config, machine = recorded_run(command.data_path, command.given, machine)
    scenario_of(config)
    return [complete(config, machine)]


def complete(config: RunConfig, machine: Machine) -> Path:
    """Complete a run; one that is complete stays as it is. Return its folder."""
    with RunFolder(config, machine.execution.save_path, machine.world) as run:
        summary = run.summary() or Stages(run, machine).complete()
        assert summary.continual is not None
        average = summary.continual.average_accuracy
        print(f"{run.path}: accuracy {summary.final_accuracy:.2f} %, average {average:.2f} %", flush=True)
        return run.path


if __name__ == "__main__":
    raise SystemExit(run_main(main))
