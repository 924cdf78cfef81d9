"""Coresets in the files of other programs: how each ending is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.files import read_json

LISTING = "coreset.csv"  # in an exported folder: which image is which
MADE_OF = "train_images"  # the column, or name, of the fingerprint of the training images
_INDEX, _WEIGHT = ("index", "indices"), ("weight", "weights")
_TRUTHS = {"true": True, "false": False}


def coreset_file(path: Path) -> Path:
    """Return the file that holds the coreset: in a run's folder or an exported one the file there, else ``path``.

    Raises:
        UserError: a folder that is neither.
    """
    if not path.is_dir():
        return path
    for name in ("coreset.npz", LISTING):
        if (path / name).exists():
            return path / name
    raise UserError(f"{path} is no folder of a run and no exported one: it has no coreset.npz and no {LISTING}")


def read_coreset(path: Path) -> Coreset:
    """Return the coreset in a file; what is in it follows from its ending, and without a known one it is an npz.

    Everywhere indices (integers [k]) may be a mask instead (bool [n], n the images of the data set).

    Raises:
        UserError: missing, damaged, or no coreset.
    """
    reader = READERS.get(path.suffix.lower(), Coreset.load)
    try:
        return reader(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _csv(path: Path) -> Coreset:
    """Read a column of indices, or, as utils.export writes, ``index`` and perhaps ``weight``, ``train_images``."""
    try:
        rows = [row for row in csv.reader(io.StringIO(_text(path), newline="")) if row]
    except csv.Error as error:
        raise UserError(f"{path} is no sound csv: {error}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows and not all(map(_is_number, rows[0])) else None
    body = rows if header is None else rows[1:]
    width = len(header or (rows[0] if rows else [""]))
    if uneven := next((row for row in body if len(row) != width), None):
        raise UserError(f"{path}: the row {','.join(uneven)[:80]!r} has {len(uneven)} cells and the first row {width}")
    columns: dict[str, Sequence[str]] = dict(
        zip(header or map(str, range(width)), zip(*body, strict=True), strict=False)
    )
    indices = next(iter(columns.values())) if width == 1 and columns else _either(columns, _INDEX)
    if indices is None and body:
        held = ", ".join(header) if header else f"{width} columns without a header"
        raise UserError(f"{path} has no column 'index' (and 'weight' where there are weights); it holds {held}")
    weights = _either(columns, _WEIGHT) if width > 1 else None
    weights = None if weights is None else _floats(path, weights)
    return _coreset(path, _whole(path, indices or ()), weights, one_fingerprint(path, columns.get(MADE_OF, ())))


def one_fingerprint(path: Path, cells: Iterable[str]) -> str | None:
    """Return what the rows of a file say of their training images; None where they say nothing.

    Raises:
        UserError: they are of several data sets.
    """
    made_of = set(cells) - {""}
    if len(made_of) > 1:
        raise UserError(f"{path} has rows of several data sets: its {MADE_OF} are {', '.join(sorted(made_of))[:80]}")
    return next(iter(made_of), None)


def _txt(path: Path) -> Coreset:
    """Read one index a line."""
    return _coreset(path, _whole(path, [line for line in _text(path).splitlines() if line.strip()]))


def _json(path: Path) -> Coreset:
    """Read a list of indices, or an object with ``indices`` and perhaps ``weights``, ``train_images``."""
    return _named(path, read_json(path))


def _npy(path: Path) -> Coreset:
    try:
        return _coreset(path, np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is not a sound npy file without pickled objects: {reason}") from error


def _torch(path: Path) -> Coreset:
    """Read a tensor or list of indices, or a dictionary with ``indices`` and perhaps ``weights`` …; run no code."""
    content = path.read_bytes()
    try:
        value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a file made by somebody else can make the loader raise anything
        raise UserError(f"{path} holds no tensors that torch can load ({type(error).__name__})") from error
    return _named(path, value)


READERS: dict[str, Callable[[Path], Coreset]] = {
    ".npz": Coreset.load,
    ".csv": _csv,
    ".json": _json,
    ".npy": _npy,
    ".txt": _txt,
    ".pt": _torch,
    ".pth": _torch,
}


def _named(path: Path, value: Any) -> Coreset:
    if not isinstance(value, dict):
        return _coreset(path, value)
    indices = _either(value, _INDEX)
    if indices is None:
        held = ", ".join(map(str, value))[:80] or "nothing"
        raise UserError(f"{path} has no 'indices' (and 'weights' where there are weights); it holds {held}")
    return _coreset(path, indices, _either(value, _WEIGHT), value.get(MADE_OF))


def _coreset(path: Path, indices: Any, weights: Any = None, made_of: str | None = None) -> Coreset:
    try:
        coreset = Coreset.given(_array(indices), None if weights is None else _array(weights))
        return replace(coreset, made_of=None if made_of is None else str(made_of))
    except (UserError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: {error}") from error


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        return values.detach().numpy()
    array = np.asarray(values)
    return array if array.size else array.astype(np.int64)


def _either(columns: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((columns[name] for name in names if name in columns), None)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", errors="surrogateescape")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _TRUTHS
    return True


def _whole(path: Path, cells: Sequence[str]) -> list[int] | list[bool]:
    """Return integers, or truths where every cell is one."""
    if cells and all(cell.strip().lower() in _TRUTHS for cell in cells):
        return [_TRUTHS[cell.strip().lower()] for cell in cells]
    numbers = _floats(path, cells)
    if odd := next((cell for cell, number in zip(cells, numbers, strict=True) if not number.is_integer()), None):
        raise UserError(f"{path}: indices are whole numbers (or all of them true and false), not {odd.strip()[:40]!r}")
    return [int(number) for number in numbers]


def _floats(path: Path, cells: Sequence[str]) -> list[float]:
    return [_float(path, cell) for cell in cells]


def _float(path: Path, cell: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise UserError(f"{path}: {cell.strip()[:40]!r} is no number") from error
