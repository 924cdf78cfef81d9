"""Learn a small synthetic set in place of a large real one, train fresh networks on it, print the table.

    python condense.py --dataset Digits --method LCMat --ipc 1 --iterations 100 --curvature diagonal --num_eval 3

Finished condensations and evaluations are kept as they are, and unfinished ones go on where they stopped.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import sys
from dataclasses import replace
from pathlib import Path

from condensation.arguments import Command, parse
from condensation.condensation_folder import CondensationFolder, Cost
from condensation.config import CondensationConfig
from condensation.learning import Condensation
from experiments.data import as_found, data_for
from experiments.retraining import retrain
from utils.cli import run_main
from utils.config import RunConfig
from utils.coreset_size import CoresetSize
from utils.data.synthetic_set import SyntheticSet
from utils.records.run_folder import RunFolder
from utils.records.summary import Timing
from utils.records.tables import load_table
from utils.training.machine import Machine


def main() -> None:
    """Do what the command line asks for, and print the table of the evaluations."""
    command = parse(sys.argv[1:], description=str(__doc__).split("\n")[0])
    machine = Machine.of(command.execution)
    folders = []
    for asked in command.condensations:
        config = replace(asked, data=as_found(asked.data, machine))
        folder, cost = learn(config, machine)
        folders += evaluate(folder, cost, command, machine)
    if folders:
        print(load_table(folders).markdown())


def learn(config: CondensationConfig, machine: Machine) -> tuple[CondensationFolder, Cost]:
    """Learn a synthetic set where it is not there yet; return its folder and what learning it took."""
    with CondensationFolder(config, machine.execution.save_path) as folder:
        cost = folder.finished()
        if cost is None:
            data = data_for(config.model, config.data, config.seed, machine)
            result = Condensation(config, data, machine, folder.checkpoint_path, folder.show).run()
            cost = folder.finish(result, machine.device)
        print(
            f"{folder.path}: {config.label}, {config.ipc} images per class, "
            f"{cost.iterations_per_second:.3g} iterations/s, {cost.peak_memory_bytes / 1e6:.0f} MB",
            flush=True,
        )
    return folder, cost


def evaluate(learned: CondensationFolder, cost: Cost, command: Command, machine: Machine) -> list[Path]:
    """Complete the runs of every network on a synthetic set; return their folders."""
    config, file = learned.config, learned.synthetic_path
    synthetic, timing = SyntheticSet.load(file), Timing({"selection": cost.seconds})
    pool = data_for(config.model, config.data, config.seed, machine).pool
    size = CoresetSize.of(fraction=round(len(synthetic) / len(pool), 6))
    folders = []
    for model in command.networks:
        for repeat in range(command.num_eval):
            run_config = RunConfig(config.data, model, config.selection(), size, config.seed, command.training, repeat)
            with RunFolder(run_config, machine.execution.save_path) as run:
                run.keep(synthetic, timing, file)
                folders.append(retrain(run, machine))
    return folders


if __name__ == "__main__":
    raise SystemExit(run_main(main))
