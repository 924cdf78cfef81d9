"""Tracing a few training steps, for chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch.profiler import ProfilerActivity, profile, schedule

_SKIPPED = 10  # steps at first, in which caches fill and algorithms are chosen
_TRACED = 5


class Profiler(Protocol):
    """An object that is told of every step."""

    def step(self) -> None:
        """End one step."""


class _Off:
    def step(self) -> None:
        pass


@contextmanager
def profiled(path: Path | None, device: torch.device, steps: int) -> Iterator[Profiler]:
    """Trace 5 of the next ``steps`` steps into ``path``, fewer where there are fewer than 15, and print where it is.

    The first step of all is not traced, so that a single one leaves no trace.

    Args:
        path: ``….json.gz``, replaced if it is there; None traces nothing.
    """
    if path is None or steps < 2:
        yield _Off()
        return

    def write(trace: profile) -> None:
        trace.export_chrome_trace(str(path))
        print(f"profile: {path}", flush=True)

    skipped = max(1, min(_SKIPPED, (steps - 1) // 2))
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    plan = schedule(wait=skipped - 1, warmup=1, active=min(_TRACED, steps - skipped), repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=write) as profiler:
        yield profiler
