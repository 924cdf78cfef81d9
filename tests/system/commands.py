"""Entry scripts run inside the test's process, as a person would call them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import condense
import continual
import cross_network_generalization
import landscape
import main
from utils.cli import run_main
from utils.data import fingerprint
from utils.data.load import load_once

FAST = (
    "--dataset Digits --model MLP --epochs 4 --batch 64 --lr 0.05 -se 2 --selection_lr 0.05 --test_interval 2 "
    "--certificate no"
)


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status == 2
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        return lines[0]


class Commands:
    """Runs the scripts with a save path of the test's own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def main(self, flags: str, save_path: str = "result") -> Answer:
        """``main.py`` with these flags."""
        return self._run(main.main, "main.py", flags, save_path)

    def cross(self, flags: str, save_path: str = "result") -> Answer:
        """``cross_network_generalization.py`` with these flags."""
        return self._run(cross_network_generalization.main, "cross_network_generalization.py", flags, save_path)

    def condense(self, flags: str, save_path: str = "result") -> Answer:
        """``condense.py`` with these flags."""
        return self._run(condense.main, "condense.py", flags, save_path)

    def landscape(self, flags: str, save_path: str = "result") -> Answer:
        """``landscape.py`` with these flags."""
        return self._run(landscape.main, "landscape.py", flags, save_path)

    def continual(self, flags: str, save_path: str = "result") -> Answer:
        """``continual.py`` with these flags."""
        return self._run(continual.main, "continual.py", flags, save_path)

    def runs(self, pattern: str = "*", save_path: str = "result") -> list[Path]:
        """The run folders whose names match."""
        return sorted(path.parent for path in (self.folder / save_path).glob(f"{pattern}/config.json"))

    def _run(self, function: Callable[[], None], name: str, flags: str, save_path: str) -> Answer:
        load_once.cache_clear()
        fingerprint.forget()
        arguments = [name, *shlex.split(flags), "--save_path", str(self.folder / save_path)]
        self.monkeypatch.setattr(sys, "argv", arguments)
        self.capsys.readouterr()
        status = run_main(function)
        printed = self.capsys.readouterr()
        return Answer(status, printed.out, printed.err)
