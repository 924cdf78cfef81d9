"""Show what selections picked: ``python -m experiments.picks result/study_CIFAR10 --plot picks.png``.

For each way to select: how many of its picks the proxy gets wrong, how large the gradients are that it looks at, and
how many of its picks Uniform picks too. The proxies are those of the runs; one that is gone is trained again.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.selection import Selection
from methods import make_method
from methods.features import Features
from nets.last_layer import gradient_norms
from utils.cli import Parser, run_main
from utils.config import RunConfig
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.execution import ExecutionConfig
from utils.records.groups import DRAWN, group, settings_key
from utils.records.picks import QUANTILES, Picks, PicksRow, draw_picks, picks_csv, picks_markdown
from utils.records.run_folder import FinishedRun, fraction_of
from utils.records.tables import Table, load_table
from utils.training.machine import Machine


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    table = load_table(options.folders)
    at_once = [run for run in table.runs if run.config.scenario is None]
    fractions = sorted({fraction_of(run) for run in at_once if fraction_of(run) < 1})
    fraction = options.fraction or (fractions[-1] if fractions else 1.0)
    runs = [run for run in at_once if fraction_of(run) == fraction and run.config.repeat == 0]
    if not runs:
        raise UserError(f"no complete run has --fraction {fraction:g}; there are {fractions}")
    machine = Machine.of(ExecutionConfig(save_path=str(options.folders[0]), proxy=options.proxy))
    picks: dict[Path, Picks] = {}
    for same in group(runs, _images):
        print(f"seed {same[0].config.seed}, {len(same)} selections", file=sys.stderr, flush=True)
        picks |= picks_of(same, machine)
    rows = _rows(load_table([run.path for run in runs]), runs, picks)
    print(picks_csv(rows) if options.csv else picks_markdown(rows), end="" if options.csv else "\n")
    if options.plot is not None:
        draw_picks(rows, options.plot)
        print(f"plot: {options.plot}", file=sys.stderr)


def picks_of(runs: Sequence[FinishedRun], machine: Machine) -> dict[Path, Picks]:
    """Return what the runs of one seed on the same images picked, by their folders.

    Right and wrong are those of the first run's proxy, which is the proxy of all where they were trained alike.

    Raises:
        UserError: none of the runs has a proxy; coresets or proxies that are missing or do not fit.
    """
    proxied = [run for run in runs if run.config.selection.proxy is not None]
    if not proxied:
        raise UserError(f"no run of seed {runs[0].config.seed} has a proxy, which says what is right and wrong")
    features: dict[str, Features] = {}
    first = proxied[0].config
    evaluated = _features(_at_evaluation(first), machine, features)
    pool = Selection(first, [first.size], machine).data.pool
    wrong = np.zeros(int(pool.max()) + 1, dtype=bool)
    wrong[pool] = (evaluated.logits.argmax(dim=1) != evaluated.labels).cpu()
    uniform = next((run for run in runs if run.config.selection.method == "Uniform"), None)

    def shared(run: FinishedRun) -> float | None:
        if uniform is None or run is uniform:
            return None
        return 100 * float(np.isin(_indices(run), _indices(uniform)).mean())

    return {
        run.path: Picks(
            wrong=100 * float(wrong[indices].mean()),
            wrong_of_all=100 * float(wrong[pool].mean()),
            norms=_norms(_features(run.config, machine, features)) if _looks(run.config) else None,
            shared=shared(run),
        )
        for run in runs
        for indices in [_indices(run)]
    }


def _images(run: FinishedRun) -> tuple[str, int]:
    """Return what names the images that a run selected from."""
    return str(run.config.data), run.config.seed


def _indices(run: FinishedRun) -> np.ndarray:
    return Coreset.load(run.path / "coreset.npz").indices


def _looks(config: RunConfig) -> bool:
    """Return whether the method looks at its proxy's features."""
    selection = config.selection
    return selection.proxy is not None and make_method(selection.method, **selection.options).looks_at_features


def _at_evaluation(config: RunConfig) -> RunConfig:
    selection = dataclasses.replace(config.selection, scoring="evaluation", temperature=None)
    return dataclasses.replace(config, selection=selection)


def _features(config: RunConfig, machine: Machine, known: dict[str, Features]) -> Features:
    """Return the features that a run's method looked at, computed once for all that look at the same."""
    selection = config.selection
    key = str((selection.model, selection.proxy, selection.proxy_file, selection.scoring, selection.temperature))
    if key not in known:
        known[key] = Selection(config, [config.size], machine).features.pool().read()
    return known[key]


def _norms(features: Features) -> tuple[float, ...]:
    norms: Tensor = gradient_norms(features.embeddings, features.logits, features.labels)
    return tuple(torch.quantile(norms.cpu(), torch.tensor(QUANTILES, dtype=norms.dtype)).tolist())


def _rows(table: Table, runs: Sequence[FinishedRun], picks: Mapping[Path, Picks]) -> list[PicksRow]:
    """Return the picks of each row of the table, over its seeds."""
    labels = {settings_key(row.config, DRAWN): row.label for row in table.rows}
    groups = group(runs, lambda run: settings_key(run.config, DRAWN))
    rows = [PicksRow(labels[settings_key(same[0].config, DRAWN)], [picks[run.path] for run in same]) for same in groups]
    return sorted(rows, key=lambda row: (not row.label.startswith("Uniform"), row.label.casefold()))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m experiments.picks", description=str(__doc__).split("\n\n")[1])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or runs; the first holds the proxies")
    parser.add_argument("--fraction", type=float, metavar="F", help="of the runs to show (default: the largest)")
    parser.add_argument("--proxy", metavar="FILE.pt", help="the network of runs that were selected with --proxy")
    parser.add_argument("--csv", action="store_true", help="print comma-separated values, one number a cell")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
