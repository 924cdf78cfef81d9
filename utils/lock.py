"""A lock between processes that the operating system releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import sys
from pathlib import Path
from typing import TextIO

from utils.errors import UserError

_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class FileLock:
    """An exclusive advisory lock on ``path``, a file that is made and stays behind, empty; held inside the context.

    Where another process holds it, one line on stderr says so, and the block is entered once it is free. On a file
    system without locks one line warns.

    Raises:
        UserError: (on entering) the file cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> FileLock:
        if self._file is not None:
            raise RuntimeError(f"{self.path} is already locked by this object")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            self._acquire(file)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            with file, contextlib.suppress(OSError):  # unlocked, not only closed: forked workers share it
                fcntl.flock(file, fcntl.LOCK_UN)

    def _acquire(self, file: TextIO) -> None:
        folder = self.path.parent
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {folder} (held by another process)", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise UserError(f"cannot lock {self.path}: {error.strerror}") from error
            advice = "start no second run of the same settings there"
            print(f"warning: {folder} cannot be locked ({error.strerror}); {advice}", file=sys.stderr)
