"""The record of a run: one folder with its settings, coreset, history and summary.

A run is found again by reading these files, never by taking its folder's name apart.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from utils.config import RunConfig, digest
from utils.data.coreset import Coreset
from utils.data.fingerprint import check_same_images, contents
from utils.data.origin import Origin
from utils.data.small_set import SmallSet, load_small_set
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import DivergedError, UserError
from utils.files import read_json, read_npz, set_aside, write_json, write_npz
from utils.records.folder import Folder, check_same_data, read_sealed, sound, write_sealed
from utils.records.provenance import provenance
from utils.records.summary import Summary, Timing, check_summary, identity
from utils.training.history import Epoch, read_history, write_history

_CONFIG, _SUMMARY, _HISTORY, _CORESET = "config.json", "summary.json", "history.csv", "coreset.npz"
_TIMING, _SCORES = "selection.json", "scores.npz"
STEPS = "step_*"  # folders of the steps of a scenario


@dataclass(frozen=True)
class FinishedRun:
    """A run read from its folder: with the summary of a complete one, or why it failed; with neither, only selected."""

    path: Path
    config: RunConfig
    summary: Summary | None
    failure: str | None = None


class RunFolder(Folder):
    """The folder of one run under ``save_path``, made and locked inside the context (see Folder).

    A damaged configuration or coreset in it is set aside, and a recorded failure is taken back. Where the work ends
    in a DivergedError, that is recorded as the run's failure.

    Raises:
        UserError: its name would leave ``save_path``; (on entering) the folder cannot be written, or holds a run with
            another configuration, or one that was begun on other data.
    """

    def __init__(self, config: RunConfig, save_path: str | Path, world: World = SINGLE_PROCESS) -> None:
        super().__init__(run_path(config, save_path), world)
        self.config = config

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        try:
            if isinstance(error, DivergedError) and self.world.is_rank_zero:
                self.fail(str(error))
        finally:
            super().__exit__(kind, error, trace)

    @property
    def coreset_path(self) -> Path:
        """Where the coreset, or the synthetic set, is kept; a file found there inside the context is a sound npz."""
        return self.path / _CORESET

    @property
    def needs_coreset(self) -> bool:
        """Whether the run is unfinished and has no sound coreset yet."""
        return self.world.on_rank_zero(self._needs_coreset)

    def keep(self, small_set: SmallSet, timing: Timing, file: Path | None = None) -> None:
        """Put what the run trains on into its folder, and what the phases that made it took.

        Args:
            file: where the set is on disk for good, to be linked instead of written again.

        Raises:
            UserError: the run trains, or was trained, on another set, or the set was made of other images.
        """
        self.world.on_rank_zero(self._keep, small_set, timing, file)

    @property
    def needs_scores(self) -> bool:
        """Whether the run has no scores yet."""
        return self.world.on_rank_zero(lambda: sound(self.path / _SCORES, read_npz) is None)

    def keep_scores(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put the scores of all samples into the run's folder, where there are any."""
        if arrays:
            self.world.on_rank_zero(write_npz, self.path / _SCORES, arrays)

    def small_set(self) -> tuple[SmallSet, Timing]:
        """Return what the run trains on, and what the phases that made it took.

        Raises:
            UserError: it is missing or damaged, or was made of other images.
        """
        return self.world.on_rank_zero(self._small_set)

    def summary(self) -> Summary | None:
        """Return the summary of the run if it is complete and sound; a damaged one is set aside.

        The checkpoint that a process killed while it finished may have left is deleted.
        """
        return self.world.on_rank_zero(self._summary)

    def write_history(self, rows: Sequence[Epoch]) -> None:
        """Replace ``history.csv``."""
        write_history(self.path / _HISTORY, rows)

    def read_history(self) -> list[Epoch]:
        """Return the epochs recorded so far, none where there is no history.

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

    def leave_selected(self) -> bool:
        """Record that the coreset is all that there is, unless a training was begun; return whether that holds.

        Whatever goes on with the run takes the record back.
        """
        if self.checkpoint_path.exists() or self._summary() is not None:
            return False
        write_json(self.path / _SUMMARY, {**identity(self.config), "complete": False, "retrained": False})
        return True

    def prepare(self) -> None:
        """Set aside what is damaged, take a failure back, and write the configuration."""
        recorded = sound(self.path / _CONFIG, _read_config)
        if recorded is not None:
            self._check_is_this_run(recorded)
        sound(self.coreset_path, read_npz)
        self._take_back_failure()
        if recorded is None or not (self.path / _SUMMARY).exists():
            write_sealed(self.path / _CONFIG, {"run": self.config.as_dict(), **provenance()})

    def _needs_coreset(self) -> bool:
        if self._summary() is not None:
            return False
        timing, small_set = sound(self.path / _TIMING, read_timing), sound(self.coreset_path, load_small_set)
        return timing is None or small_set is None

    def _small_set(self) -> tuple[SmallSet, Timing]:
        small_set, timing = load_small_set(self.coreset_path), read_timing(self.path / _TIMING)
        check_same_images(self.coreset_path, small_set.train_images, self.config.data)
        return small_set, timing

    def _keep(self, small_set: SmallSet, timing: Timing, file: Path | None) -> None:
        check_same_images(file or "the set to train on", small_set.train_images, self.config.data)
        if not self._needs_coreset():
            if load_small_set(self.coreset_path).digest() != small_set.digest():
                raise UserError(f"{self.path} holds a run on another set of images; move it away")
            return
        write_sealed(self.path / _TIMING, asdict(timing))
        self.coreset_path.unlink(missing_ok=True)
        if file is None or not _linked(file, self.coreset_path):
            self._named(small_set).save(self.coreset_path)

    def _named(self, small_set: SmallSet) -> SmallSet:
        """Return a coreset with the names of what its indices stand for, where the data are known."""
        data = self.config.data
        if not isinstance(small_set, Coreset) or data.train_images is None:
            return small_set
        return replace(small_set, origin=Origin.of(contents(data)[0], small_set.indices))

    def _summary(self) -> Summary | None:
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

    def _check_is_this_run(self, recorded: RunConfig) -> None:
        if recorded.settings().as_dict() != self.config.settings().as_dict():
            raise UserError(f"{self.path} holds a run with other settings; move it away or give another --save_path")
        of_the_data = (self.coreset_path, self.checkpoint_path, self.path / _SUMMARY, *self.path.glob(STEPS))
        if any(path.exists() for path in of_the_data):
            check_same_data(self.path, recorded.data, self.config.data)

    def _take_back_failure(self) -> None:
        path = self.path / _SUMMARY
        with contextlib.suppress(UserError, FileNotFoundError):
            values = read_json(path)
            if isinstance(values, dict) and values.get("complete") is False:
                path.unlink()


def run_path(config: RunConfig, save_path: str | Path) -> Path:
    """Return the folder of a run, always directly under ``save_path``.

    Raises:
        UserError: a name in the configuration would lead elsewhere.
    """
    name = config.name()
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(f"{name!r} cannot name a folder; use letters, digits, '_', '.', '+' and '-' only")
    return Path(save_path) / name


def find_runs(save_path: str | Path) -> list[FinishedRun]:
    """Return the runs in ``save_path`` (a folder of runs, or one run) that came to an end, sorted by folder.

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


def fraction_of(run: FinishedRun) -> float:
    """Return the part of the pool that a complete run trained on."""
    assert run.summary is not None
    return run.summary.fraction


def unfinished_runs(save_path: str | Path) -> list[Path]:
    """Return the folders of runs that were begun and have no summary yet."""
    return [folder for folder in _folders(save_path) if not (folder / _SUMMARY).exists()]


def read_run_config(folder: Path) -> RunConfig:
    """Return the configuration that a run's folder records.

    Raises:
        UserError: it is missing or damaged.
    """
    return _read_config(folder / _CONFIG)


def read_scores(folder: Path) -> dict[str, np.ndarray]:
    """Return the scores that a run keeps: ``indices``, ``labels``, and float64 [m] by name.

    Raises:
        UserError: it keeps none, or they are damaged.
    """
    path = folder / _SCORES
    if not path.exists():
        raise UserError(f"{folder} keeps no scores; run its command again with --save_scores yes")
    return read_npz(path)


def _folders(save_path: str | Path) -> list[Path]:
    root = Path(save_path)
    try:
        return sorted(path.parent for path in (*root.glob(_CONFIG), *root.glob(f"*/{_CONFIG}")))
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror or error}") from error


def _read_config(path: Path) -> RunConfig:
    values = read_sealed(path)
    if "run" not in values:
        raise UserError(f"{path} is not the configuration of a run")
    return RunConfig.from_dict(values["run"])


def read_timing(path: Path) -> Timing:
    """Return what phases took. Raises UserError where the file is damaged."""
    try:
        return Timing(**read_sealed(path))
    except TypeError as error:
        raise UserError(f"{path} does not say what phases took: {error}") from error


def _linked(file: Path, path: Path) -> bool:
    """Make ``path`` a second name of ``file``; return whether that could be done."""
    with contextlib.suppress(OSError):
        os.link(file, path)
        return True
    return False


def _read_finished(folder: Path, config: RunConfig) -> FinishedRun:
    values = read_json(folder / _SUMMARY)
    if not isinstance(values, dict) or not isinstance(values.get("complete"), bool):
        raise UserError(f"{folder / _SUMMARY} is not the summary of a run")
    if not values["complete"]:
        return FinishedRun(folder, config, None, None if "retrained" in values else str(values.get("failure")))
    summary = Summary.from_dict(values)
    check_summary(summary, config, read_history(folder / _HISTORY))
    if values.pop("digest", None) != _seal(values, folder):
        raise UserError(f"{_SUMMARY} or {_HISTORY} was altered (their digest does not match)")
    return FinishedRun(folder, config, summary)


def _seal(values: Mapping[str, Any], folder: Path) -> str:
    """Return a digest of a summary and of the history beside it."""
    return digest([values, (folder / _HISTORY).read_text()])


def _coreset_size(path: Path) -> int | None:
    with contextlib.suppress(UserError, KeyError):
        arrays = read_npz(path)
        return len(arrays["indices"] if "indices" in arrays else arrays["labels"])  # picked, or synthetic
    return None
