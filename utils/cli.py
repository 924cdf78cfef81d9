"""The frame of every entry script: one line for a user's mistake, a status for the shell."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from utils import startup
from utils.device import is_of_the_device, lacks_memory
from utils.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_A_FILE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR),
    *(errno.EIO, errno.ESTALE),
}
_HANDLES = {errno.EMFILE, errno.ENFILE}
_TOO_MANY = "too many open files; try fewer --workers, or raise the limit (ulimit -n 4096)"
_LOST_LOADER = "DataLoader worker (pid"  # as torch says it
_NONDETERMINISTIC = "does not have a deterministic implementation"  # as torch says it too


_IN_ASCII = "lcmat.in_ascii"  # the name of a way to treat characters that an encoding lacks
_SPELLED = {"±": "+/-", "–": "-", "−": "-", "…": "...", "×": "x", "→": "->", "≥": ">=", "ρ": "rho", "½": "1/2"}


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: whoever saves its state on Ctrl-C saves it on this too."""


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message.removeprefix('argument ')}; see {self.prog} --help")


def run_main(function: Callable[[], object]) -> int:
    """Call ``function`` and return the exit status; use as ``raise SystemExit(run_main(main))``.

    0: done. 2: a UserError, a full disk, a file that cannot be used, too little memory or a lost loader process,
    printed as one ``error: …`` line on stderr. 130: Ctrl-C. 143: SIGTERM, which arrives in ``function`` as Terminated.
    141: the reader of stdout went away (``| head``), without a word.
    Any other exception is a fault of the program and keeps its traceback.
    """
    _prepare_streams()
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _status(function)
    except BrokenPipeError:
        if not _stdout_is_broken():
            raise
        return 128 + signal.SIGPIPE
    finally:
        signal.signal(signal.SIGTERM, previous)


def _prepare_streams() -> None:
    """Let any text be printed: to nowhere where a stream is closed, else what its encoding lacks in ASCII.

    Descriptors 0 to 2 are taken, so that no file of ours gets the number of a closed stream.
    """
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(nowhere)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(descriptor, "w", errors=_IN_ASCII, closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_IN_ASCII)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Stand in for characters that an output's encoding lacks, as a handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLED.get(c, c.encode("ascii", "backslashreplace").decode()) for c in lacking), error.end


codecs.register_error(_IN_ASCII, _in_ascii)


def _status(function: Callable[[], object]) -> int:
    try:
        startup.begin()
        function()
        sys.stdout.flush()
    except UserError as error:
        return _refuse(str(error))
    except OSError as error:
        if error.errno in _FULL:
            _drop_stdout_if_full()
            return _refuse(f"cannot write {error.filename or 'what is printed'}: {error.strerror}")
        if error.errno in _HANDLES:
            return _refuse(_TOO_MANY)
        if error.errno not in _OF_A_FILE or error.filename is None:
            raise
        return _refuse(f"cannot use {error.filename}: {error.strerror}")
    except (MemoryError, RuntimeError) as error:
        if (message := _resource_message(error)) is None:
            raise
        return _refuse(message)
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    return 0


def _resource_message(error: MemoryError | RuntimeError) -> str | None:
    """Return what to say of too little memory or a killed loader process; None of other errors."""
    said = str(error).partition("\n")[0]
    if "Too many open files" in str(error):
        return _TOO_MANY
    if said.startswith(_LOST_LOADER):
        return f"a loader process was lost ({said}); started again, the run goes on; try fewer --workers"
    if _NONDETERMINISTIC in said:
        return f"--deterministic: {said.partition(' ')[0]} gives other bits each time; leave --deterministic out"
    if lacks_memory(error):
        tries = "a smaller --batch or --im_size, --data_on_device off, or a smaller --memory_budget"
        return f"out of memory ({said or 'nothing more is known'}); try {tries}"
    if is_of_the_device(error):
        return f"the device failed ({said}); started again, the run goes on from its last checkpoint"
    return None


def _refuse(message: str) -> int:
    with contextlib.suppress(OSError):  # stderr may be on the full disk too
        print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


def _drop_stdout_if_full() -> None:
    """Replace a stdout on a full disk, so that the interpreter's last flush is quiet."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _stdout_is_broken() -> bool:
    """Return whether stdout has no reader; replace it then, so that the interpreter's last flush is quiet."""
    stdout = sys.stdout.fileno()
    waiting = select.poll()
    waiting.register(stdout, 0)
    broken = any(event & select.POLLERR for _, event in waiting.poll(0))
    if broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return broken
