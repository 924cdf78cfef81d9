"""Holding Ctrl-C and SIGTERM back until a point where the state of the work is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from utils.cli import Terminated

_EXCEPTIONS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


class Interruption:
    """The first signal that arrived while signals were held back, if any did."""

    def __init__(self) -> None:
        self.exception: type[KeyboardInterrupt] | None = None

    def __bool__(self) -> bool:
        return self.exception is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember the first signal; raise at a second one."""
        if self.exception is not None:
            raise _EXCEPTIONS[number]
        self.exception = _EXCEPTIONS[number]

    def act(self) -> None:
        """Raise the exception of the signal that arrived."""
        if self.exception is not None:
            raise self.exception


@contextmanager
def held_back() -> Iterator[Interruption]:
    """Only note SIGINT and SIGTERM within the block; whoever opened it asks and acts between two steps.

    What arrived and was not acted on is raised when the block ends. A signal that the process ignores, as one
    started with ``nohup`` may, it goes on ignoring.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    heeded = [number for number in _EXCEPTIONS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interruption.receive) for number in heeded}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    interruption.act()
