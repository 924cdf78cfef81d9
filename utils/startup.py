"""Ctrl-C before a script has begun its work: while torch is imported, nothing is there to be saved yet."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process in one line and with status 130, until :func:`begin`; not where it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def begin() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted before anything was begun\n")
    os._exit(128 + signal.SIGINT)
