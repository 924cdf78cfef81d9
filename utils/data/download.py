"""Finding a published data set on disk, or downloading it: quietly, once at a time, whole or not at all."""

from __future__ import annotations

import contextlib
import io
import lzma
import socket
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

from utils.errors import UserError
from utils.lock import FileLock

_TIMEOUT = 60.0  # seconds without a byte before a download is given up
_ABSENT = (RuntimeError, AssertionError, ValueError, TypeError, EOFError, FileNotFoundError)
_FAILED = (*_ABSENT, OSError, HTTPException, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
T = TypeVar("T")


def obtain(
    name: str,
    root: Path,
    looked_for: str,
    open_set: Callable[[bool], T],
    set_aside_damaged: Callable[[], None] = lambda: None,
) -> T:
    """Return ``open_set(False)`` where the data set is on disk, else ``open_set(True)``, which may download.

    Two processes never download at once: the second waits and finds what the first has fetched.

    Args:
        looked_for: what was expected below ``root``, for the error.
        open_set: opens the set; its argument allows a download. Raises what torchvision raises.
        set_aside_damaged: called before a download; moves away files that would pass for whole ones.

    Raises:
        UserError: neither on disk nor to be downloaded.
    """
    try:
        with contextlib.suppress(*_ABSENT):
            return open_set(False)
    except OSError as error:
        raise UserError(f"cannot read {name} in {root}: {error.strerror or error}") from error
    try:
        with FileLock(root / f".{name}.lock"):
            with contextlib.suppress(*_ABSENT):  # another process has fetched it meanwhile
                return open_set(False)
            set_aside_damaged()
            print(f"{name} is not in {root}: downloading it", file=sys.stderr)
            with _quiet(), _contained():
                return open_set(True)
    except _FAILED as error:
        raise UserError(
            f"{name} is not in {root} (looked for {looked_for}) and cannot be downloaded ({_reason(error)}): "
            f"point --data_path at its folder, or try --dataset Digits"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Print nothing but a progress bar on a terminal, and give up a download that stalls."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if not sys.stderr.isatty():
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Refuse members of a tar archive that would leave the folder that it is extracted to, by a name or a link.

    Older torchvisions do not ask for it, and Pythons before 3.10.12 and 3.11.4 cannot; members of a zip never leave.
    """
    if not hasattr(tarfile, "data_filter"):
        yield
        return
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)  # type: ignore[assignment]
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
