"""Ask whether gaps predict accuracy: ``python -m experiments.landscape.prediction result/study_Digits``.

For each run: the gradient gap and the measured worst case of its coreset in the last layer of its proxy, beside the
final accuracy of the network trained on it; and the rank correlations of both. Runs without a proxy are looked at with
the other runs of their seed.
"""

from __future__ import annotations

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

import argparse
import sys
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from experiments.landscape.folder import remembered
from experiments.landscape.runs import coreset_runs, views_of_runs
from experiments.landscape.view import View
from methods.features import Features
from methods.scoring import at_temperature, auto_temperature
from utils.cli import Parser, run_main
from utils.data.batches import Batches
from utils.data.coreset import Coreset
from utils.execution import ExecutionConfig
from utils.files import write_atomic
from utils.landscape.certificate import shares_of_difference, usual_radius
from utils.landscape.last_layer import LastLayerDifferences
from utils.landscape.worst_case import worst_changes
from utils.records.gaps import GapRow, correlation_table, draw_gaps, gap_csv
from utils.records.groups import name_differences
from utils.records.run_folder import fraction_of
from utils.training.evaluation import TEST_BATCH, embed_and_classify
from utils.training.machine import Machine
from utils.training.progress import Progress


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    machine = Machine.of(ExecutionConfig(save_path=str(options.folders[0])))
    runs = coreset_runs(options.folders)
    settings = dict(zip((run.path for run in runs), name_differences([run.config for run in runs]), strict=True))
    rows: list[GapRow] = []
    for view in views_of_runs(runs, options.data_path, machine):
        print(f"seed {view.seed}, {len(view.coresets)} coresets", file=sys.stderr, flush=True)
        rows += gap_rows(view, {name: settings[run.path] for name, run in view.runs.items()}, machine)
    rows.sort(key=lambda row: (row.fraction, row.selection, row.seed, row.repeat))
    print(correlation_table(rows))
    if options.csv is not None:
        write_atomic(options.csv, gap_csv(rows).encode())
    if options.plot is not None:
        draw_gaps(rows, options.plot)


def gap_rows(view: View, settings: dict[str, str], machine: Machine) -> list[GapRow]:
    """Return a row for each run of a view; what was measured before is read from ``gaps.json``.

    Args:
        settings: by the coresets' names, what sets a run apart from others of its method.
        machine: its save path is the folder of that file.
    """
    kept, network = Path(machine.execution.save_path) / "gaps.json", view.network_digest()
    gaps = Gaps(view, machine)
    rows = []
    with Progress(f"gaps of seed {view.seed}", len(view.runs), machine.execution.print_freq) as progress:
        for name, run in view.runs.items():
            coreset, config, summary = view.coresets[name], run.config, run.summary
            numbers = remembered(kept, f"{network} {coreset.digest()}", partial(gaps.of, coreset))
            progress.step()
            if summary is not None:
                method = config.selection.method + (f" ({settings[name]})" if settings[name] else "")
                rows.append(
                    GapRow(method, fraction_of(run), config.seed, config.repeat, summary.final_accuracy, *numbers)
                )
    return rows


class Gaps:
    """The gaps of coresets in the last layer of a view's network, at the network and at its softened logits."""

    def __init__(self, view: View, machine: Machine) -> None:
        self.view, self.machine = view, machine
        self._position = torch.full((len(view.data.train),), -1)  # of each training image in the pool
        self._position[view.data.pool] = torch.arange(len(view.data.pool))

    @cached_property
    def _looks(self) -> tuple[Features, Features, float]:
        """The features of the pool, the same softened, and the temperature."""
        view, machine = self.view, self.machine
        images, workers = machine.hold(view.data.train), machine.execution.workers
        batches = Batches(images, view.data.spec, view.data.pool, TEST_BATCH, device=machine.device, workers=workers)
        plain = Features.of(*embed_and_classify(view.network.embed, view.network.classifier, batches))
        temperature = auto_temperature(plain)
        return plain, at_temperature(plain, temperature).read(), temperature

    def of(self, coreset: Coreset) -> list[float]:
        """Return the gradient gap and the worst case, the same softened, and the temperature."""
        weights = None if coreset.weights is None else torch.tensor(coreset.weights)
        indices = self._position[torch.tensor(coreset.indices)]
        plain, softened, temperature = self._looks
        return [*_gaps(plain, indices, weights), *_gaps(softened, indices, weights), temperature]


def _gaps(features: Features, indices: Tensor, weights: Tensor | None) -> tuple[float, float]:
    z, f, y = features.embeddings, features.logits, features.labels
    shares = shares_of_difference(len(features), indices, weights)
    difference = LastLayerDifferences(z, f, y, shares.to(y.device)[None])
    zero = torch.zeros(1, difference.size, dtype=torch.float64, device=y.device)
    return float(difference(zero)[1].norm()), float(worst_changes(difference, zero, usual_radius(z)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m experiments.landscape.prediction", description=str(__doc__).split("\n\n")[1])
    parser.add_argument(
        "folders", nargs="+", type=Path, help="folders of runs, or runs; the first holds the proxies and gaps.json"
    )
    parser.add_argument("--data_path", default="data", help="where data sets are looked for")
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help="write a line for each run")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw accuracy over the worst case")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
