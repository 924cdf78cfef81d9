"""A lock between processes that the operating system releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from pathlib import Path
from types import TracebackType

from utils.errors import UserError

_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class FileLock:
    """An exclusive advisory lock on ``path``, which is made and stays behind, empty.

    As a context manager it is held inside the block. Where another process holds it, one line on stderr
    says so and the block is entered once it is free. On a file system without locks, one line warns.

    Raises:
        UserError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> FileLock:
        if self._descriptor is not None:
            raise RuntimeError(f"{self.path} is already locked by this object")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            self._wait(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def _wait(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {self.path.parent} (held by another process)", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise UserError(f"cannot lock {self.path}: {error.strerror}") from error
            print(
                f"warning: {self.path.parent} cannot be locked ({error.strerror}); "
                "start no second run of the same settings there",
                file=sys.stderr,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # unlocked, not only closed: forked workers share it
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None
