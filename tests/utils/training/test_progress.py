"""What a person sees of a long piece of work."""

from __future__ import annotations

import io
import sys

import pytest

from utils.training import progress
from utils.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until it is set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_has_a_line_at_the_end(capsys):
    with Progress("proxy", 3) as shown:
        for _ in range(3):
            shown.step()
        shown.describe("loss 0.1")
    assert capsys.readouterr() == ("", "proxy: 3/3 loss 0.1\n")


@pytest.mark.parametrize(
    ("print_freq", "lines"),
    [(1, ["10/40", "20/40", "30/40", "40/40"]), (15, ["15/40", "30/40", "40/40"]), (100, ["40/40"])],
)
def test_a_log_has_lines_after_print_freq_steps_and_ten_seconds(clock, capsys, print_freq, lines):
    with Progress("work", 40, print_freq) as shown:
        for second in range(1, 41):
            clock[0] = float(second)
            shown.step()
    printed = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert printed == lines


def test_fast_work_is_no_flood(capsys):
    with Progress("work", 10_000, 1) as shown:
        for _ in range(10_000):
            shown.step()
    assert capsys.readouterr().err == "work: 10000/10000\n"


def test_what_was_done_before_counts(capsys):
    with Progress("work", 10, done=7) as shown:
        shown.step(3)
    assert capsys.readouterr().err == "work: 10/10\n"


def test_a_failure_is_not_reported_as_an_end(capsys):
    with pytest.raises(KeyError), Progress("work", 3):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("proxy", 4) as shown:
        shown.step()
        shown.describe("loss 0.5")
        shown.step(3)
    written = terminal.getvalue()
    assert "proxy" in written
    assert "loss 0.5" in written
    assert written.count("\n") == 1  # the bar is redrawn in place; the last line stays
    assert written.endswith("proxy: 4/4 loss 0.5\n")
