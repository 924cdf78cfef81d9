"""Arrays and tensors from outside, checked: embeddings, logits, labels and scores of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.rows import Rows


def as_features(embeddings: Any, logits: Any, labels: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return embeddings [n, d], logits [n, C] and labels int64 [n] on the device of the embeddings.

    Half precision becomes float32. Embeddings or logits that are None come as [n, 0].

    Raises:
        UserError: lengths that differ, wrong ranks, no columns, NaN or infinite values, labels outside [0, C), or
            probabilities in the place of logits.
    """
    given = {name: _matrix(name, values) for name, values in _given(embeddings, logits).items()}
    first = next(iter(given.values()))
    given = {name: each.to(first.device) for name, each in given.items()}
    y = _integers(labels).to(first.device)
    *ends, own = _ends([*given.values(), y])
    for (name, matrix), its in zip(given.items(), ends, strict=True):
        _check_finite(name, matrix, its)
    _check_together(given, _from_zero(y, own), own[1])
    if "logits" in given and ends[-1][0] >= 0:
        _refuse_probabilities([given["logits"]])
    z, f = (given.get(name, first.new_zeros(len(first), 0)) for name in ("embeddings", "logits"))
    return z, f, y


def as_stored_features(
    embeddings: Any, logits: Any, labels: Any, world: World = SINGLE_PROCESS
) -> tuple[Rows, Rows, Tensor]:
    """Return the same of matrices that are not held, Rows or memory-mapped arrays.

    Rank 0 of ``world`` looks at them for all, some rows at a time.
    """
    given = {
        name: values if isinstance(values, Rows) else Rows([_array(values)])
        for name, values in _given(embeddings, logits).items()
    }
    y = as_labels(labels)
    _check_together(given, y, _ends([y])[0][1])
    world.on_rank_zero(_check_rows, given)
    missing = Rows([np.empty((len(y), 0), np.float32)])
    return given.get("embeddings", missing), given.get("logits", missing), y


def _given(embeddings: Any, logits: Any) -> dict[str, Any]:
    """Return those of the two that are given. Raises UserError where none is."""
    given = {name: each for name, each in (("embeddings", embeddings), ("logits", logits)) if each is not None}
    if not given:
        raise UserError("embeddings and logits are missing")
    return given


def _check_rows(given: Mapping[str, Rows]) -> None:
    """Raise UserError where a value of embeddings or logits is not finite, or logits are probabilities."""
    for name, rows in given.items():
        start = 0
        for block in rows.blocks():
            _check_finite(name, block, _ends([block])[0], start)
            start += len(block)
    if "logits" in given:
        _refuse_probabilities(given["logits"].blocks())


def are_stored(*values: Any) -> bool:
    """Return whether one of ``values`` is a matrix that is not held."""
    return any(isinstance(each, (Rows, np.memmap)) for each in values)


def _check_together(given: Mapping[str, Tensor] | Mapping[str, Rows], y: Tensor, highest: float) -> None:
    """Raise UserError unless embeddings, logits and labels are of the same samples, and say something of them.

    The ``highest`` label is known.
    """
    if any(len(each) != len(y) for each in given.values()):
        lengths = ", ".join(str(len(each)) for each in given.values())
        raise UserError(f"{', '.join(given)} and labels differ in length: {lengths} and {len(y)} samples")
    for name, each in given.items():
        if not each.shape[1]:
            raise UserError(f"{name} have no columns; leave them out where a method does without them")
    if "logits" in given and highest >= given["logits"].shape[1]:
        raise UserError(f"label {int(y.max())} has no logit: there are {given['logits'].shape[1]} classes, from 0")


def as_labels(labels: Any) -> Tensor:
    """Return labels as int64 [n].

    Raises:
        UserError: not one row of non-negative integers.
    """
    y = _integers(labels)
    return _from_zero(y, _ends([y])[0])


def _integers(labels: Any) -> Tensor:
    """Return one row of integers as int64 [n]. Raises UserError for anything else."""
    y = _tensor("labels", labels)
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise UserError(f"labels are one row of integers, not {y.dtype} {list(y.shape)}")
    return y.long()


def _from_zero(y: Tensor, ends: Sequence[float]) -> Tensor:
    """Return labels between these ``ends``. Raises UserError where one is negative."""
    if ends[0] < 0:
        raise UserError(f"labels start at 0; found {int(y.min())}")
    return y


def as_scores(scores: Any, n: int) -> Tensor:
    """Return scores as float64 [n].

    Raises:
        UserError: not one number for each of the ``n`` samples, or NaN among them.
    """
    values = _tensor("scores", scores).double()
    if values.shape != (n,) or bool(values.isnan().any()):
        raise UserError(f"scores are one number for each of the {n} samples, none NaN")
    return values


def _refuse_probabilities(blocks: Iterable[Tensor]) -> None:
    """Raise UserError where all rows of the logits are distributions."""
    if all(_are_probabilities(block) for block in blocks):
        raise UserError(
            "logits are what enters the softmax, and these are probabilities (no value is negative, and each row "
            "adds up to 1): give the network's outputs before its softmax, or the logarithms of the probabilities"
        )


def _are_probabilities(logits: Tensor) -> bool:
    """Return whether every row is a distribution, as rows of logits are by chance at most one at a time."""
    n, classes = logits.shape
    if n < 2 or classes < 2 or bool((logits < 0).any()):
        return False
    return bool((logits.sum(dim=1) - 1).abs().max() < 2e-3)


def _matrix(name: str, values: Any) -> Tensor:
    matrix = _tensor(name, values)
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise UserError(f"{name} are a matrix of floating-point numbers, not {matrix.dtype} {list(matrix.shape)}")
    return matrix.detach().to(torch.float64 if matrix.dtype == torch.float64 else torch.float32)


def _ends(tensors: Sequence[Tensor]) -> list[list[float]]:
    """Return the lowest and the highest value of each of ``tensors`` on one device, waiting for it once.

    They are NaN where any value is, and 0 where there are none.
    """
    ends = [torch.stack(each.aminmax() if each.numel() else [each.new_zeros(())] * 2) for each in tensors]
    return torch.stack([each.double() for each in ends]).tolist()  # type: ignore[no-any-return]


def _check_finite(name: str, matrix: Tensor, ends: Sequence[float], start: int = 0) -> None:
    """Raise UserError where an end of the values is not finite; the first row is that of sample ``start``."""
    if not all(map(math.isfinite, ends)):
        low, high = matrix.aminmax(dim=1)
        bad = (~(low.isfinite() & high.isfinite())).nonzero()
        raise UserError(f"{name} hold NaN or infinite values, the first in sample {start + int(bad[0])}")


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asanyarray(values)


def _tensor(name: str, values: Any) -> Tensor:
    if values is None:
        raise UserError(f"{name} are missing")
    if isinstance(values, Tensor):
        if values.layout != torch.strided:
            raise UserError(f"{name} are a sparse tensor; make it dense first")
        return values.detach()
    try:
        array = np.ascontiguousarray(values)
        array = array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
        return torch.from_numpy(array)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name} are not numbers in rows of equal length: {reason}") from error
