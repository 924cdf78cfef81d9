"""Seconds, and the memory that work takes beyond what was there before it (Linux)."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TURN = 2.0  # seconds
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """The result of some work, its seconds, and the most resident bytes while it ran less those before."""

    result: Any
    seconds: float
    peak_bytes: int


def measured(work: Callable[[], Any]) -> Measured:
    """Call ``work`` once and measure it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system
    before = resident()
    _CLEAR.write_text("5")  # the peak counts from here
    started = time.perf_counter()
    result = work()
    return Measured(result, time.perf_counter() - started, peak() - before)


class Elsewhere:
    """Another process, with environment variables of its own from its first import on; None unsets one."""

    def __init__(self, **environment: str | None) -> None:
        self.process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        inherited = dict(os.environ)
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        try:
            self.process.submit(gc.collect).result()  # any work starts the process
        finally:
            os.environ.clear()
            os.environ.update(inherited)

    def measured(self, work: Callable[[], Any]) -> Measured:
        """Call ``work`` once in that process and measure it."""
        return self.process.submit(measured, work).result()


def taking_turns(*work: Callable[[], Measured], repeats: int) -> list[Measured]:
    """Return of each its first result, median seconds and largest peak over ``repeats`` rounds in which all take turns.

    A turn lasts two seconds at least, and counts with the median of its calls: the first pays for memory that the
    other work has just given back to the system.
    """
    rounds = [[_summary(list(_turn(each))) for each in work] for _ in range(repeats)]
    return [_summary(runs) for runs in zip(*rounds, strict=True)]


def _turn(work: Callable[[], Measured]) -> Iterator[Measured]:
    started = time.perf_counter()
    yield work()
    while time.perf_counter() - started < _TURN:
        yield work()


def _summary(runs: Sequence[Measured]) -> Measured:
    return Measured(
        runs[0].result,
        statistics.median(run.seconds for run in runs),
        max(run.peak_bytes for run in runs),
    )


def medians(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each; the repeats take turns, so that other load on the machine meets all alike."""
    rounds = [{name: _seconds(each) for name, each in work.items()} for _ in range(repeats)]
    return {name: statistics.median(each[name] for each in rounds) for name in work}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def resident() -> int:
    """Return the resident bytes of this process."""
    return _status_bytes("VmRSS")


def peak() -> int:
    """Return the most resident bytes since the start or the last call of ``measured``."""
    return _status_bytes("VmHWM")


def _status_bytes(key: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table, its first column to the left and the others to the right."""
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
