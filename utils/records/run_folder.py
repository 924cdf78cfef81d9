"""The record of a run: one folder with its settings, coreset, history and summary.

A run is found again by reading these files, never by taking its folder's name apart.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from utils.config import RunConfig, digest
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.files import read_json, read_npz, remove_leftovers, set_aside, write_json
from utils.lock import FileLock
from utils.records.provenance import provenance
from utils.records.summary import Summary, check_summary, identity
from utils.training.history import Epoch, read_history, write_history

_CONFIG, _SUMMARY, _HISTORY, _CORESET = "config.json", "summary.json", "history.csv", "coreset.npz"


@dataclass(frozen=True)
class FinishedRun:
    """A run read from its folder: with a summary where it is complete, else with why it failed."""

    path: Path
    config: RunConfig
    summary: Summary | None
    failure: str | None = None


class Run:
    """The folder of one run, locked as long as the context is open; make one with :meth:`open`."""

    def __init__(self, config: RunConfig, path: Path, lock: FileLock) -> None:
        self.config = config
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, config: RunConfig, save_path: str | Path, world: World = SINGLE_PROCESS) -> Run:
        """Make or enter the run's folder under ``save_path``, waiting while another process has it.

        Of several ranks the first has it for all, and nobody else may write.
        A damaged configuration or coreset in it is set aside, and a recorded failure is taken back.

        Raises:
            UserError: the folder cannot be written, its name would leave ``save_path``, or it holds a
                run with another configuration.
        """
        path = run_folder(config, save_path)
        with contextlib.ExitStack() as stack:
            lock = FileLock(path / ".lock")
            stack.enter_context(world.context_on_rank_zero(lock))
            run = cls(config, path, lock)
            world.on_rank_zero(run._prepare)
            stack.pop_all()
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._lock.__exit__()

    @property
    def coreset_path(self) -> Path:
        """Where the coreset is saved; a file found there by :meth:`open` is a sound npz."""
        return self.path / _CORESET

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of the training is kept until the run is finished."""
        return self.path / "checkpoint.pt"

    def summary(self) -> Summary | None:
        """The summary of the run if it is complete and sound; a damaged one is set aside.

        The checkpoint that a process killed while it finished may have left is deleted.
        """
        path = self.path / _SUMMARY
        if not path.exists():
            return None
        try:
            summary = _read_finished(self.path, self.config).summary
            if summary is not None and _coreset_size(self.coreset_path) != summary.coreset_size:
                raise UserError(f"the coreset has not the {summary.coreset_size} images of the summary")
        except UserError as error:
            set_aside(path, f"does not stand ({error})")
            return None
        self.checkpoint_path.unlink(missing_ok=True)
        return summary

    def write_history(self, rows: Sequence[Epoch]) -> None:
        """Replace ``history.csv``."""
        write_history(self.path / _HISTORY, rows)

    def read_history(self) -> list[Epoch]:
        """The epochs recorded so far, none where there is no history.

        Raises:
            UserError: the history is damaged.
        """
        path = self.path / _HISTORY
        return read_history(path) if path.exists() else []

    def finish(self, summary: Summary) -> None:
        """Write the summary and delete the checkpoint. Coreset and history must have been written.

        Raises:
            UserError: the summary is of another run, or says something else than the history, or cannot
                be written; the checkpoint is kept.
        """
        check_summary(summary, self.config, self.read_history())
        values = summary.as_dict()
        write_json(self.path / _SUMMARY, {**values, "digest": _seal(values, self.path)})
        self.checkpoint_path.unlink(missing_ok=True)

    def fail(self, message: str) -> None:
        """Record that the run failed, and why, in one line; it is never averaged."""
        line = " ".join(message.split())
        write_json(self.path / _SUMMARY, {**identity(self.config), "complete": False, "failure": line})

    def _prepare(self) -> None:
        remove_leftovers(self.path)
        self._discard_damaged_coreset()
        self._take_back_failure()
        self._write_config()

    def _write_config(self) -> None:
        path = self.path / _CONFIG
        if path.exists():
            try:
                recorded = _read_config(path)
            except UserError as error:
                set_aside(path, f"is damaged ({error})")
            else:
                if recorded.as_dict() != self.config.as_dict():
                    raise UserError(
                        f"{self.path} holds a run with other settings; move it away or give another --save_path"
                    )
                if (self.path / _SUMMARY).exists():
                    return
        values = {"run": self.config.as_dict(), **provenance()}
        write_json(path, {**values, "digest": digest(values)})

    def _discard_damaged_coreset(self) -> None:
        if self.coreset_path.exists():
            try:
                read_npz(self.coreset_path)
            except UserError:
                set_aside(self.coreset_path, "is damaged")

    def _take_back_failure(self) -> None:
        path = self.path / _SUMMARY
        with contextlib.suppress(UserError, FileNotFoundError):
            values = read_json(path)
            if isinstance(values, dict) and values.get("complete") is False:
                path.unlink()


def run_folder(config: RunConfig, save_path: str | Path) -> Path:
    """The folder of a run, always directly under ``save_path``.

    Raises:
        UserError: a name in the configuration would lead elsewhere.
    """
    name = config.name()
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(f"{name!r} cannot name a folder; use letters, digits, '_', '.', '+' and '-' only")
    return Path(save_path) / name


def find_runs(save_path: str | Path) -> list[FinishedRun]:
    """The complete and the failed runs in ``save_path`` (a folder of runs, or one run), sorted by folder.

    A folder that does not hold together is named on stderr and skipped; runs under way are left out.
    """
    runs = []
    for folder in _folders(save_path):
        if (folder / _SUMMARY).exists():
            try:
                runs.append(_read_finished(folder, _read_config(folder / _CONFIG)))
            except UserError as error:
                print(f"warning: skipped {folder}: {error}", file=sys.stderr)
    return runs


def unfinished_runs(save_path: str | Path) -> list[Path]:
    """The folders of runs that were begun and have no summary yet."""
    return [folder for folder in _folders(save_path) if not (folder / _SUMMARY).exists()]


def read_run_config(folder: Path) -> RunConfig:
    """The configuration that a run's folder records.

    Raises:
        UserError: it is missing or damaged.
    """
    return _read_config(folder / _CONFIG)


def _folders(save_path: str | Path) -> list[Path]:
    root = Path(save_path)
    try:
        return sorted(path.parent for path in (*root.glob(_CONFIG), *root.glob(f"*/{_CONFIG}")))
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror or error}") from error


def _read_config(path: Path) -> RunConfig:
    values = read_json(path)
    if not isinstance(values, dict) or "run" not in values:
        raise UserError(f"{path} is not the configuration of a run")
    if values.pop("digest", None) != digest(values):
        raise UserError(f"{path} was altered (its digest does not match)")
    return RunConfig.from_dict(values["run"])


def _read_finished(folder: Path, config: RunConfig) -> FinishedRun:
    values = read_json(folder / _SUMMARY)
    if not isinstance(values, dict) or not isinstance(values.get("complete"), bool):
        raise UserError(f"{folder / _SUMMARY} is not the summary of a run")
    if not values["complete"]:
        return FinishedRun(folder, config, None, str(values.get("failure")))
    summary = Summary.from_dict(values)
    check_summary(summary, config, read_history(folder / _HISTORY))
    if values.pop("digest", None) != _seal(values, folder):
        raise UserError(f"{_SUMMARY} or {_HISTORY} was altered (their digest does not match)")
    return FinishedRun(folder, config, summary)


def _seal(values: Mapping[str, Any], folder: Path) -> str:
    """A digest of a summary and of the history beside it."""
    return digest([values, (folder / _HISTORY).read_text()])


def _coreset_size(path: Path) -> int | None:
    with contextlib.suppress(UserError, KeyError):
        arrays = read_npz(path)
        return len(arrays["indices"] if "indices" in arrays else arrays["labels"])  # picked, or synthetic
    return None
