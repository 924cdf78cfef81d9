"""One process at a time, and a dead one holds nothing."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.lock import FileLock

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys
from pathlib import Path
from utils.lock import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""

COUNT = """
import sys
from pathlib import Path
from utils.lock import FileLock
counter = Path(sys.argv[2])
for _ in range(200):
    with FileLock(Path(sys.argv[1])):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def is_free(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds ``tmp_path/run/.lock``."""
    with start(HOLD, tmp_path / "run" / ".lock") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_held_inside_the_block_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with FileLock(path) as lock:
        assert not is_free(path)
        with pytest.raises(RuntimeError, match="already locked"):
            lock.__enter__()
    assert is_free(path)
    with pytest.raises(ZeroDivisionError), FileLock(path):
        raise ZeroDivisionError
    assert is_free(path)
    with lock:
        assert not is_free(path)


def test_a_second_process_says_that_it_waits(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "run" / ".lock"
    assert not is_free(path)
    with start(HOLD, path) as second:
        assert second.stderr is not None and second.stdout is not None
        assert second.stderr.readline() == f"waiting for {path.parent} (held by another process)\n"
        assert second.poll() is None
        holder.communicate("go\n")
        assert second.stdout.readline() == "held\n"
        second.communicate("go\n")
        assert second.returncode == 0


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "run" / ".lock"
    holder.kill()
    holder.wait()
    assert path.exists()
    with FileLock(path):
        assert not is_free(path)


def test_two_processes_never_inside_at_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(COUNT, tmp_path / ".lock", counter) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert counter.read_text() == "400"


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"), FileLock(tmp_path / "file" / ".lock"):
        pass


def test_a_file_system_without_locks_warns_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with FileLock(tmp_path / ".lock"):
        pass
    assert "cannot be locked (Function not implemented)" in capsys.readouterr().err
