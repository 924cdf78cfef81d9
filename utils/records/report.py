"""Print the table of finished runs: ``python -m utils.report result/ [more folders]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import Parser
from utils.records.cross_networks import cross_table
from utils.records.paired_differences import paired_differences, paired_table
from utils.records.plots import cross_plot, difference_plot, plot
from utils.records.tables import load_table


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    table = load_table(options.folders)
    differences = paired_differences(table, options.against) if options.against else []
    if options.cross:
        print(cross_table(table.runs))
    elif options.against:
        print(paired_table(differences, options.against))
    elif options.csv:
        print(table.csv(options.time, options.gaps), end="")
        for note in table.notes():
            print(note, file=sys.stderr)
    else:
        print(table.markdown(options.time, options.gaps))
    if options.plot is None:
        return
    if options.cross:
        cross_plot(table.runs, options.plot)
    elif options.against:
        difference_plot(differences, options.against, options.plot)
    else:
        plot(table, options.plot)
    print(f"plot: {options.plot}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m utils.report",
        description="Mean and spread of all complete runs, one row for all seeds of the same settings.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[Path("result")], help="folders of runs, or runs (result)"
    )
    parser.add_argument("--csv", action="store_true", help="print comma-separated values, one number a cell")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw what the table says, over fractions")
    parser.add_argument("--time", action="store_true", help="add median seconds of each phase and peak memory")
    parser.add_argument("--gaps", action="store_true", help="add what the coresets' certificates say (medians)")
    parser.add_argument("--cross", action="store_true", help="selecting network × trained network instead")
    parser.add_argument("--against", metavar="METHOD", help="differences from this method, seed by seed, instead")
    return parser
