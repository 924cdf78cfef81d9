"""From the text of one value to the value: each reader says in its error what it allows."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path

from utils.data.siamese import FAMILIES, Siamese
from utils.errors import UserError, choose
from utils.training.optimizers import optimizer_name

_MOST = 2**31 - 1
_YES = frozenset({"yes", "true", "t", "y", "1"})
_NO = frozenset({"no", "false", "f", "n", "0"})
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_LEAST_BYTES, _MOST_BYTES = 10**6, 2**60


def yes_no(text: str) -> bool:
    """yes/true/t/y/1 or no/false/f/n/0, in any case."""
    if text.casefold() in _YES:
        return True
    if text.casefold() in _NO:
        return False
    raise ArgumentTypeError(f"must be yes or no (true/t/y/1, false/f/n/0), not {text!r}")


def integer(least: int, most: int = _MOST) -> Callable[[str], int]:
    """Whole numbers from ``least`` to ``most``."""
    bounds = f"a whole number of at least {least}" if most == _MOST else f"a whole number from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise ArgumentTypeError(f"must be {bounds}, not {text!r}")
        return value

    return read


def number(interval: str) -> Callable[[str], float]:
    """Numbers in an interval as mathematics writes it, e.g. ``"(0, 1]"``; ``inf)`` is any finite number."""
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    from_low, to_high = interval[0] == "[", interval[-1] == "]"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        inside = low < value < high or (from_low and value == low) or (to_high and value == high)
        if not inside:
            raise ArgumentTypeError(f"must be a number in {interval}, not {text!r}")
        return value

    return read


def one_of(kind: str, allowed: Iterable[str]) -> Callable[[str], str]:
    """A name out of ``allowed``, in any case."""
    return _speaking(lambda text: choose(kind, text, allowed))


def optimizer(text: str) -> str:
    """The name of a torch optimiser, in any case."""
    return _speaking(optimizer_name)(text)


def augmentation(text: str) -> str:
    """``standard``, ``none``, or families of siamese augmentation joined by ``_``, in any case."""
    if "_" not in text:
        return one_of("augmentation", ("standard", "none", *FAMILIES))(text)
    return _speaking(lambda strategy: "_".join(Siamese.of(strategy).families))(text)


def path(text: str) -> str:
    """A file or folder, with ``~`` resolved."""
    if not text:
        raise ArgumentTypeError("must name a file or folder, and is empty")
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise ArgumentTypeError(f"{text!r} names an unknown home folder") from error


def optional_path(text: str) -> str | None:
    """A file or folder; the empty string, earlier code's default, is none."""
    return path(text) if text else None


def size(text: str) -> int:
    """Bytes: a number with an optional unit, decimal (``8GB``) or binary (``8GiB``)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"must be bytes or a size such as 512MB or 8GB, not {text!r}")
    amount, prefix, binary = match.groups()
    unit = (1024 if binary else 1000) ** " kmgt".index(prefix.casefold() if prefix else " ")
    value = int(float(amount) * unit)
    if not _LEAST_BYTES <= value <= _MOST_BYTES:
        raise ArgumentTypeError(f"must be at least 1MB and below {_MOST_BYTES} bytes, not {text!r}")
    return value


def _speaking(read: Callable[[str], str]) -> Callable[[str], str]:
    """``read`` with its UserError in the form whose message argparse keeps."""

    def speak(text: str) -> str:
        try:
            return read(text)
        except UserError as error:
            raise ArgumentTypeError(str(error)) from error

    return speak
