"""Settings that say themselves how a command line sets them: dataclass fields with a flag, and what flags read.

A reader takes the text of one value to the value, and says in its UserError what it allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from utils.errors import UserError, choose

_MOST = 2**31 - 1
_YES = frozenset({"yes", "true", "t", "y", "1"})
_NO = frozenset({"no", "false", "f", "n", "0"})
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_LEAST_BYTES, _MOST_BYTES = 10**6, 2**60
_SAME: Any = object()


@dataclass(frozen=True)
class Flag:
    """One flag of a command line.

    Attributes:
        names: the flag and its aliases, separated by spaces.
        read: its reader, or the name of one that the parser knows.
        default: None where nothing stands in for it, or ``help`` says what does.
        help: what it is for; ``{names}`` stands for the names that the reader allows.
        metavar: how help shows the value; ``A [A ...]`` is a flag of one or several values, kept as a tuple.
        group: the heading that help shows it under; empty: its class's.
    """

    names: str
    read: Callable[[str], Any] | str
    default: Any
    help: str
    metavar: str = "NAME"
    group: str = ""

    @property
    def name(self) -> str:
        """The flag without its dashes, as values are kept under it."""
        return self.names.split()[0].removeprefix("--")

    @property
    def several(self) -> bool:
        """Whether it takes one value or more."""
        return self.metavar.endswith("...]")


def flag(
    default: Any,
    names: str,
    read: Callable[[str], Any] | str,
    help: str,
    metavar: str = "NAME",
    *,
    group: str = "",
    unset: Any = _SAME,
) -> Any:
    """Return a dataclass field that a flag sets (see Flag).

    Args:
        unset: the field's own default where it is not the flag's; dataclasses.MISSING for none.
    """
    own = default if unset is _SAME else unset
    return field(default=own, metadata={"flag": Flag(names, read, default, help, metavar, group)})


def switch(names: str, help: str, default: bool = False, *, group: str = "") -> Any:
    """Return a field that a flag sets to yes or no."""
    return flag(default, names, yes_no, help, "[yes|no]", group=group)


def flags_of(kind: Any, group: str = "") -> dict[str, Flag]:
    """Return the flags of a dataclass by the names of their fields, in ``group`` unless they name their own."""
    own = {each.name: each.metadata["flag"] for each in fields(kind) if "flag" in each.metadata}
    return {name: replace(each, group=each.group or group) for name, each in own.items()}


def yes_no(text: str) -> bool:
    """Read yes/true/t/y/1 or no/false/f/n/0, in any case."""
    if text.casefold() in _YES:
        return True
    if text.casefold() in _NO:
        return False
    raise UserError(f"must be yes or no (true/t/y/1, false/f/n/0), not {text!r}")


def yes_no_or_path(text: str) -> bool | str:
    """Read yes or no as :func:`yes_no` does, else a file or folder."""
    return yes_no(text) if text.casefold() in _YES | _NO else path(text)


def integer(least: int, most: int = _MOST) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""
    bounds = f"a whole number of at least {least}" if most == _MOST else f"a whole number from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise UserError(f"must be {bounds}, not {text!r}")
        return value

    return read


def gpu_or_cpu(text: str) -> int | str:
    """Read the number of a CUDA device, or ``cpu``."""
    return "cpu" if text.casefold() == "cpu" else integer(0)(text)


def number(interval: str) -> Callable[[str], float]:
    """Return a reader of numbers in an interval as mathematics writes it, ``"(0, 1]"``; ``inf)`` is any finite one."""
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    from_low, to_high = interval[0] == "[", interval[-1] == "]"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        inside = low < value < high or (from_low and value == low) or (to_high and value == high)
        if not inside:
            raise UserError(f"must be a number in {interval}, not {text!r}")
        return value

    return read


class OneOf:
    """A reader of one of ``names``, in any case."""

    def __init__(self, kind: str, names: Iterable[str]) -> None:
        self.kind, self.names = kind, tuple(names)

    def __call__(self, text: str) -> str:
        """Read a name in the spelling of the table."""
        return choose(self.kind, text, self.names)


def path(text: str) -> str:
    """Read a file or folder, with ``~`` resolved."""
    if not text:
        raise UserError("must name a file or folder, and is empty")
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise UserError(f"{text!r} names an unknown home folder") from error


def optional_path(text: str) -> str | None:
    """Read a file or folder; the empty string, earlier code's default, is none."""
    return path(text) if text else None


def size(text: str) -> int:
    """Read bytes: a number with an optional unit, decimal (``8GB``) or binary (``8GiB``)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UserError(f"must be bytes or a size such as 512MB or 8GB, not {text!r}")
    amount, prefix, binary = match.groups()
    unit = (1024 if binary else 1000) ** " kmgt".index(prefix.casefold() if prefix else " ")
    value = int(float(amount) * unit)
    if not _LEAST_BYTES <= value <= _MOST_BYTES:
        raise UserError(f"must be at least 1MB and below {_MOST_BYTES} bytes, not {text!r}")
    return value
