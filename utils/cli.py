"""What every entry script does around its work: one line for a person's mistake, a status for the shell."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from utils.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: whoever saves its state on Ctrl-C saves it on this too."""


def run_main(function: Callable[[], object]) -> int:
    """Call ``function`` and return the exit status; use as ``raise SystemExit(run_main(main))``.

    0: done. 2: a UserError, printed as one ``error: …`` line on stderr. 130: Ctrl-C. 143: SIGTERM, which
    arrives in ``function`` as Terminated. 141: the reader of stdout went away (``| head``), without a word.
    Any other exception is a fault of the program and keeps its traceback.
    """
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        status = _status(function)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _stdout_is_broken():
            raise
        return 128 + signal.SIGPIPE
    finally:
        signal.signal(signal.SIGTERM, previous)


def _status(function: Callable[[], object]) -> int:
    try:
        function()
    except UserError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    return 0


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _stdout_is_broken() -> bool:
    """Whether stdout has no reader; if so it is replaced, so that the interpreter's last flush is quiet."""
    stdout = sys.stdout.fileno()
    waiting = select.poll()
    waiting.register(stdout, 0)
    broken = any(event & select.POLLERR for _, event in waiting.poll(0))
    if broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return broken
