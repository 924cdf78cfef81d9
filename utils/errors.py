"""UserError, the exception whose message is for people, and choosing from names."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake that the caller can put right, in one line: what was wrong, what is allowed, what to try.

    Entry scripts print it as ``error: …`` and exit with status 2.
    """


class DivergedError(UserError):
    """A loss, or a pixel, that became NaN or infinite."""


def choose(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return the spelling of ``name`` that stands in ``allowed``, whatever its case.

    Raises:
        UserError: no such name; lists what is allowed and the nearest spelling.
    """
    choices = list(allowed)
    by_folded = {choice.casefold(): choice for choice in choices}
    if name.casefold() in by_folded:
        return by_folded[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    hint = f" (did you mean {by_folded[near[0]]}?)" if near else ""
    raise UserError(f"unknown {kind} {name!r}{hint}; choose from {', '.join(choices)}")


@contextmanager
def ornament(what: str) -> Iterator[None]:
    """Go on, with a line on stderr, where a picture cannot be drawn: no result is lost for an ornament."""
    try:
        yield
    except Exception as error:  # of whatever kind: fonts, names, formats, disks
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"warning: {what} could not be drawn: {reason}", file=sys.stderr)
