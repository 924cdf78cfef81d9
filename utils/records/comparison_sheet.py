"""Selected and synthetic sets in one picture: ``python -m utils.comparison_sheet result/ --output FILE.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from utils.cli import Parser
from utils.data.small_set import load_small_set
from utils.data.synthetic_set import SyntheticSet
from utils.errors import UserError
from utils.files import write_atomic
from utils.records.contact_sheet import TILE, Pictures, contact_sheet, load_pictures
from utils.records.groups import DRAWN, group, settings_key, unique_runs
from utils.records.run_folder import FinishedRun, find_runs, fraction_of


def side_by_side(runs: Sequence[FinishedRun]) -> bytes:
    """Draw a PNG with a row for each way to make a set, in the order of their size: the first image of every class.

    Of several seeds the first is shown, and the networks that were trained make no difference.

    Raises:
        UserError: there are no runs, or they are of several data sets; an image file cannot be read.
    """
    ways = group(unique_runs(runs), lambda run: settings_key(run.config, (*DRAWN, "model")))
    shown = sorted((way[0] for way in ways), key=lambda run: (fraction_of(run), run.config.selection.method))
    if len({(run.config.data.dataset, run.config.data.train_images) for run in shown}) != 1:
        raise UserError("a sheet shows finished runs of one data set; name folders that hold such runs")
    real = load_pictures(shown[0].config.data)
    rows = _enlarged([_first_of_each_class(run, real) for run in shown])
    names = tuple(f"{run.config.selection.method}, {_size(run)} images" for run in shown)
    labels = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    pictures = Pictures(names, labels, torch.cat(rows))
    title = f"{shown[0].config.data.dataset}: the first image of every class"
    return contact_sheet(pictures, np.arange(len(labels)), title=title, picks=max(map(len, rows)), classes=len(rows))


def _size(run: FinishedRun) -> int:
    return 0 if run.summary is None else run.summary.coreset_size


def _first_of_each_class(run: FinishedRun, real: Pictures) -> Tensor:
    """Return one image of each class, uint8 [classes, 3, H, H]."""
    small_set = load_small_set(run.path / "coreset.npz")
    if isinstance(small_set, SyntheticSet):
        first = np.unique(small_set.labels, return_index=True)[1]
        return small_set.visible()[torch.from_numpy(first)].expand(-1, 3, -1, -1)
    first = np.unique(real.labels[small_set.indices], return_index=True)[1]
    images = (real.open(index) for index in small_set.indices[first].tolist())
    return torch.cat(_enlarged([_as_trained_on(image, run.config.data.im_size)[None] for image in images]))


def _as_trained_on(image: Image.Image, im_size: int | None) -> Tensor:
    """Return the middle of an image, at most of a tile's size, uint8 [3, H, H]."""
    size = min(im_size or min(image.size), TILE)
    return pil_to_tensor(center_crop(resize(image, size), size))


def _enlarged(sets: Sequence[Tensor]) -> list[Tensor]:
    """Return sets of images, uint8 [m, 3, H, H], all with the largest H that one of them has."""
    largest = max(images.shape[-1] for images in sets)
    return [interpolate(images, (largest, largest)) for images in sets]


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
