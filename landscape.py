"""Draw the losses of coresets around a network, beside the full set's.

    python landscape.py --dataset Digits --model MLP -se 10 -slr 0.05 --selection LCMat Craig Uniform --fraction 0.05

What was measured is kept, and an interrupted landscape goes on where it stopped.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import sys

from experiments.landscape.arguments import parse
from experiments.landscape.figure import draw
from experiments.landscape.folder import LandscapeFolder
from experiments.landscape.measure import Measurement
from experiments.landscape.views import views
from experiments.landscape.worst_cases import csv_rows, table, worst_cases
from utils.cli import run_main
from utils.training.machine import Machine


def main() -> None:
    """Do what the command line asks for."""
    command = parse(sys.argv[1:], description=str(__doc__).split("\n")[0])
    machine = Machine.of(command.settings.execution)
    for view in views(command, machine):
        with LandscapeFolder(view, command.landscape, machine.execution.save_path) as folder:
            print(f"landscape: {folder.path}", flush=True)
            measurement = Measurement(view, command.landscape, machine)
            rows = measurement.losses(folder)
            draw(view, rows, command.landscape, folder.picture)
            print(f"losses: {folder.table}\nplot: {folder.picture}", flush=True)
            worst = worst_cases(measurement, folder)
            if worst:
                folder.write_csv("worst_cases.csv", csv_rows(worst))
                print(f"\n{table(worst)}\n")


if __name__ == "__main__":
    raise SystemExit(run_main(main))
