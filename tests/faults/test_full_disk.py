"""A disk that fills up at any moment costs one line; what was finished stays readable, and the rest is done later."""

from __future__ import annotations

import errno
import functools
import os
import random
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attempts import attempt
from outcomes import litter, outcome
from reference_runs import SMALL, Undisturbed

COMMAND = f"main.py {SMALL} --fraction 0.05 0.1 --num_eval 2 --save_features"


@dataclass(frozen=True)
class Full:
    """A hook: from the n-th file, folder or flush to disk on, there is no space left."""

    first: int

    def __call__(self) -> None:
        asked = 0

        def refuse(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            nonlocal asked
            reads_only = function.__name__ == "open" and not arguments[1] & os.O_CREAT
            asked += not reads_only
            if asked >= self.first and not reads_only:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
            return function(*arguments, **options)

        for name in ("open", "mkdir", "fsync"):
            setattr(os, name, functools.partial(refuse, getattr(os, name)))


@dataclass(frozen=True)
class Limit:
    """A hook: no file can grow beyond ``size`` bytes, what is printed neither."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.of(COMMAND, tmp_path_factory.mktemp("told"))


def finishes_later(told: Undisturbed, save_path: Path) -> None:
    """What is finished is right, and the same command does the rest."""
    assert outcome(save_path).items() <= told.outcome.items()
    assert not [path for path in litter(save_path) if path.endswith((".tmp", ".damaged"))]
    ended = attempt(f"{told.command} --save_path {save_path}")
    assert ended.status == 0, ended.err
    assert outcome(save_path) == told.outcome
    assert not litter(save_path)


def test_no_space_left_at_any_file(told: Undisturbed, tmp_path: Path) -> None:
    first, step = 1, random.Random("full")
    ended = None
    while ended is None or ended.status != 0:
        save_path = tmp_path / str(first)
        ended = attempt(f"{told.command} --checkpoint_interval 0 --save_path {save_path}", Full(first))
        if ended.status != 0:
            assert "No space left on device" in ended.error
            finishes_later(told, save_path)
        first += step.randint(4, 24)
    assert first > 100


@pytest.mark.parametrize("size", [1_500, 4_000, 20_000, 40_000])
def test_files_that_cannot_grow(told: Undisturbed, tmp_path: Path, size: int) -> None:
    ended = attempt(f"{told.command} --checkpoint_interval 0 --save_path {tmp_path / 'result'}", Limit(size))
    assert "File too large" in ended.error
    finishes_later(told, tmp_path / "result")


def test_printing_onto_a_full_disk(uniform: Undisturbed, tmp_path: Path) -> None:
    ended = attempt(f"{uniform.command} --save_path {tmp_path}", print_to_a_full_disk)
    assert "cannot write what is printed: No space left on device" in ended.error
    assert outcome(tmp_path) == uniform.outcome


def print_to_a_full_disk() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
