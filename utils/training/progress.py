"""Progress on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """The progress of one piece of work of ``total`` steps, on stderr.

    On a terminal a bar; in a log a line every ``print_freq`` steps, though not more often than every ten
    seconds, and one at the end.
    """

    def __init__(self, label: str, total: int, print_freq: int = 100, done: int = 0) -> None:
        self.label, self.total, self.print_freq, self.done = label, total, max(1, print_freq), done
        self.note = self.line = ""
        self.printed = done
        self.printed_at = time.monotonic()
        self.bar = tqdm(total=total, initial=done, desc=label, leave=False) if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        if kind is None:
            self._print()

    def describe(self, note: str) -> None:
        """Show ``note`` beside the count from now on."""
        self.note = note
        if self.bar is not None:
            self.bar.set_postfix_str(note)

    def step(self, count: int = 1) -> None:
        """Count ``count`` more steps as done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif self.done - self.printed >= self.print_freq and self._waited():
            self._print()

    def _waited(self) -> bool:
        return time.monotonic() - self.printed_at >= _SECONDS_BETWEEN_LINES

    def _print(self) -> None:
        self.printed, self.printed_at = self.done, time.monotonic()
        line = f"{self.label}: {self.done}/{self.total} {self.note}".rstrip()
        if line != self.line:
            print(line, file=sys.stderr, flush=True)
        self.line = line
