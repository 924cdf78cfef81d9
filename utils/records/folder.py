"""A folder that one piece of work is recorded in: settings, history, checkpoint, and a lock around them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from utils.config import DataConfig, digest
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.files import read_json, remove_leftovers, set_aside, write_json
from utils.lock import FileLock

T = TypeVar("T")
AnyFolder = TypeVar("AnyFolder", bound="Folder")


class Folder:
    """A folder that is made, and locked inside the context; of several ranks the first has it for all.

    Raises:
        UserError: (on entering) the folder cannot be written, or ``prepare`` refuses what is in it.
    """

    def __init__(self, path: Path, world: World = SINGLE_PROCESS) -> None:
        self.path, self.world = path, world
        self._lock = FileLock(path / ".lock")

    def __enter__(self: AnyFolder) -> AnyFolder:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.world.context_on_rank_zero(self._lock))
            self.world.on_rank_zero(self._enter)
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self.world.is_rank_zero:
            self._lock.__exit__()

    def prepare(self) -> None:
        """Look at what is there; called on the first rank once the folder is locked."""

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of the work is kept until it is complete."""
        return self.path / "checkpoint.pt"

    def _enter(self) -> None:
        remove_leftovers(self.path)
        self.prepare()


def check_same_data(folder: Path, recorded: DataConfig, now: DataConfig) -> None:
    """Raise UserError where work in ``folder`` was begun on other images than there are now, as far as is known."""
    if changed := now.changed_since(recorded):
        raise UserError(
            f"{folder} is of other data: since then the {changed} have changed. It was left as it is; give another "
            "--save_path (and no --resume) to use the data as they are now, or put the old data back"
        )


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Write values as JSON with a digest of them."""
    write_json(path, {**values, "digest": digest(values)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the values that :func:`write_sealed` wrote.

    Raises:
        UserError: the file is missing, damaged or was altered.
    """
    values = read_json(path)
    if not isinstance(values, dict) or values.pop("digest", None) != digest(values):
        raise UserError(f"{path} was altered (its digest does not match)")
    return values


def sound(path: Path, read: Callable[[Path], T]) -> T | None:
    """Return what ``read`` finds in a file; None where there is no file, or a damaged one, which is set aside."""
    try:
        return read(path) if path.exists() else None
    except UserError as error:
        set_aside(path, f"is damaged ({error})")
        return None
