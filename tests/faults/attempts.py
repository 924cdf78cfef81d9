"""Real runs of the entry scripts, each in a forked process of its own that something happens to.

One process imports torch and the project once, and every attempt is a fork of it. What is to happen is a hook:
it is called in the fork before the script starts, and may return what is to be called after it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
LONGEST = 120.0  # seconds that an attempt may take

Hook = Callable[[], Callable[[], None] | None]


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: its exit status, minus the signal's number where one killed it, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status == 2, (self.status, self.err)
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


@functools.cache
def forks() -> ForkServerContext:
    """The process that imported everything; its path comes by the environment, for it keeps no other."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    with mock.patch.dict(os.environ, PYTHONPATH=f"{HERE}{os.pathsep}{HERE.parents[1]}"):
        forkserver.ensure_running()
    return context


class Attempt:
    """One command line, ``<script>.py <flags>``, started in a fork at once; as a context manager it is killed after."""

    def __init__(self, command: str, hook: Hook | None = None) -> None:
        self.printed = tempfile.TemporaryDirectory()
        self.process = forks().Process(target=_run, args=(shlex.split(command), hook, self.printed.name))
        self.process.start()

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ValueError):  # closed already
            self.process.kill()
            self.process.join()

    def is_stopped(self) -> bool:
        """Whether it is held by SIGSTOP."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill_after(self, seconds: float) -> Ended:
        """How it ended where it is killed after so many seconds, unless it ends before."""
        self.process.join(seconds)
        self.process.kill()
        return self.wait()

    def wait(self) -> Ended:
        """How it ended."""
        self.process.join(LONGEST)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {LONGEST:g} s: {self.read('err')}")
        assert self.process.exitcode is not None
        ended = Ended(self.process.exitcode, self.read("out"), self.read("err"))
        self.process.close()
        self.printed.cleanup()
        return ended

    def read(self, name: str) -> str:
        """What it has printed so far to ``out`` or ``err``."""
        path = Path(self.printed.name) / name
        return path.read_text() if path.exists() else ""


def attempt(command: str, hook: Hook | None = None) -> Ended:
    """Run a command line to its end."""
    return Attempt(command, hook).wait()


def _run(arguments: Sequence[str], hook: Hook | None, printed: str) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(printed) / name, os.O_WRONLY | os.O_CREAT), descriptor)
    multiprocessing.set_start_method(None, force=True)  # that of a program started by itself
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background inherit that it is ignored
    sys.argv = list(arguments)
    script = importlib.import_module(arguments[0].removesuffix(".py"))
    run_main = importlib.import_module("utils.cli").run_main
    after = None if hook is None else hook()
    status = run_main(script.main)
    if after is not None:
        after()
    sys.stdout.flush()
    os._exit(status)
