"""Selected and synthetic sets in one picture: ``python -m utils.comparison_sheet result/ --output FILE.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.cli import Parser
from utils.data.small_set import load_small_set
from utils.data.synthetic_set import SyntheticSet
from utils.errors import UserError
from utils.files import write_atomic
from utils.records.contact_sheet import Pictures, contact_sheet, load_pictures
from utils.records.groups import DRAWN, group, settings_key, unique_runs
from utils.records.run_folder import FinishedRun, find_runs, fraction_of


def side_by_side(runs: Sequence[FinishedRun]) -> bytes:
    """Draw a PNG with a row for each way to make a set, in the order of their size: the first image of every class.

    Of several seeds the first is shown, and the networks that were trained make no difference.

    Raises:
        UserError: there are no runs, or they are of several data sets or of images that are not in memory.
    """
    ways = group(unique_runs(runs), lambda run: settings_key(run.config, (*DRAWN, "model")))
    shown = sorted((way[0] for way in ways), key=lambda run: (fraction_of(run), run.config.selection.method))
    if len({(run.config.data.dataset, run.config.data.train_images) for run in shown}) != 1:
        raise UserError("a sheet shows finished runs of one data set; name folders that hold such runs")
    real = load_pictures(shown[0].config.data)
    if real.images is None:
        raise UserError(f"{shown[0].config.data.dataset} stays in its files; a sheet shows images held in memory")
    rows = [_first_of_each_class(run, real) for run in shown]
    names = tuple(f"{run.config.selection.method}, {_size(run)} images" for run in shown)
    labels = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    pictures = Pictures(names, labels, torch.cat(rows))
    title = f"{shown[0].config.data.dataset}: the first image of every class"
    return contact_sheet(pictures, np.arange(len(labels)), title=title, picks=max(map(len, rows)), classes=len(rows))


def _size(run: FinishedRun) -> int:
    return 0 if run.summary is None else run.summary.coreset_size


def _first_of_each_class(run: FinishedRun, real: Pictures) -> Tensor:
    """Return one image of each class, uint8 [classes, C, H, W]."""
    small_set = load_small_set(run.path / "coreset.npz")
    if isinstance(small_set, SyntheticSet):
        images, labels = small_set.visible(), small_set.labels
    else:
        assert real.images is not None
        picked = small_set.indices
        images, labels = real.images[torch.tensor(picked)], real.labels[picked]
    return images[torch.from_numpy(np.unique(labels, return_index=True)[1])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = Parser(
        prog="python -m utils.comparison_sheet",
        description="Draw the images of finished runs, a row for each way to select or condense.",
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("result")], help="folders of runs (result)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.png", help="where to draw")
    options = parser.parse_args(arguments)
    runs = [run for folder in options.folders for run in find_runs(folder) if run.summary is not None]
    write_atomic(options.output, side_by_side(runs))
    print(f"wrote {options.output}")
