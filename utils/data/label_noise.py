"""Wrong labels on purpose: training labels replaced by others at random, to see what methods make of them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from utils.errors import UserError
from utils.files import content_digest
from utils.flags import number, path
from utils.seeding import generator


def read_label_noise(text: str) -> float | str:
    """Read a rate in (0, 1), or the path of a confusion matrix."""
    try:
        float(text)
    except ValueError:
        return path(text)
    return number("(0, 1)")(text)


def confusion_matrix(noise: float | str, classes: int, content: str | None = None) -> Tensor:
    """Return the chances that an image of class i (row) is labelled j (column), float64 [C, C]; each row sums to 1.

    Args:
        noise: a rate, at which a label becomes any of the others with the same chance; or a text file of C rows of C
            numbers from 0 up, between commas or blanks, each row chances or counts.
        classes: C.
        content: digest that the file had when it was named, or None.

    Raises:
        UserError: the file is missing, was changed, or is no such matrix; or a rate where there is one class.
    """
    if isinstance(noise, str):
        return _read_matrix(Path(noise), classes, content)
    if classes < 2:
        raise UserError("--label_noise takes at least two classes: there is no other label")
    matrix = torch.full((classes, classes), noise / (classes - 1), dtype=torch.float64)
    return matrix.fill_diagonal_(1 - noise)


def noisy_labels(labels: Tensor, confusion: Tensor, seed: int) -> Tensor:
    """Return labels drawn by the rows of ``confusion``, int64 [n]; those given are left as they are.

    Systematic sampling: the n_c images of class c, in a random order, are given the labels at the quantiles
    (r + u) / n_c of row c, r = 0 … n_c − 1, for one u in [0, 1). Each label gets what the row says, to less than one
    image, and each image its label with the row's chances.

    Args:
        labels: int64 [n].
        confusion: float64 [C, C], its rows sum to 1.
        seed: of order and offsets.
    """
    random = generator(seed, "label noise")
    shuffled = torch.randperm(len(labels), generator=random)
    offsets = torch.rand(len(confusion), generator=random, dtype=torch.float64)  # [C]
    counts = labels.bincount(minlength=len(confusion))  # [C]
    by_class = shuffled[labels[shuffled].argsort(stable=True)]  # classes one after another, each shuffled
    label = labels[by_class]
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[label]  # place within the class
    quantiles = (rank + offsets[label]) / counts[label]  # [n]
    bounds = confusion.cumsum(dim=1)[label, :-1]  # [n, C - 1]
    drawn = torch.empty_like(labels)
    drawn[by_class] = (bounds <= quantiles[:, None]).sum(dim=1)
    return drawn


def _read_matrix(file: Path, classes: int, content: str | None) -> Tensor:
    if content not in (None, content_digest(file)):
        raise UserError(f"--label_noise {file} was changed since the run began; put the matrix back that was there")
    try:
        rows = [line.replace(",", " ").split() for line in file.read_text().splitlines()]
        matrix = torch.tensor([[float(text) for text in row] for row in rows if row], dtype=torch.float64)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"--label_noise {file} is not rows of numbers of equal length: {reason}") from error
    sums = matrix.sum(dim=-1, keepdim=True)
    sound = bool(((matrix >= 0) & (sums > 0) & sums.isfinite()).all())
    if matrix.shape != (classes, classes) or not sound:
        raise UserError(
            f"--label_noise {file} must hold {classes} rows of {classes} numbers from 0 up, one row and one column "
            f"for each class, and no row of zeros; found {' x '.join(map(str, matrix.shape))}"
        )
    return matrix / sums
