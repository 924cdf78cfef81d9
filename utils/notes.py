"""Notes on stderr that are said once a process, however often their cause comes up."""

from __future__ import annotations

import functools
import sys


@functools.cache
def note_once(text: str) -> None:
    """Print ``note: <text>`` on stderr, unless this process did before."""
    print(f"note: {text}", file=sys.stderr)
