"""Every moment of a run at which something can go wrong, and hooks that make it go wrong at one of them."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from attempts import Hook, attempt

ROOT = Path(__file__).resolve().parents[2]
_BELOW = {"tempfile.py", "pathlib.py", "os.py"}  # whose system calls make, rename and delete files for the project
_LEFT_OUT = ("tests", "experiments/arguments", "utils/errors.py")
Place = str  # file:function:line:event


class Watch:
    """Calls ``visit`` with the place at every call and return in the project's code, and at system calls below it.

    Between two of them a run changes nothing that another process can see. Reading the command line is left out.
    """

    def __init__(self, visit: Callable[[Place], None]) -> None:
        self.visit = visit
        self.files: dict[CodeType, str | None] = {}
        sys.setprofile(self._event)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code not in self.files:
            self.files[code] = _file(Path(code.co_filename))
        file = self.files[code]
        if file is not None and (file not in _BELOW or getattr(argument, "__module__", "") == "posix"):
            self.visit(f"{file}:{code.co_name}:{frame.f_lineno}:{event}")


def _file(path: Path) -> str | None:
    if any(path.is_relative_to(ROOT / left_out) for left_out in _LEFT_OUT):
        return None
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return path.name if path.name in _BELOW else None


@dataclass(frozen=True)
class Moment:
    """The n-th visit of a place, from 1; as a hook, ``number`` is the signal that arrives then.

    It arrives at all processes of the run where it leads their ``group``.
    """

    place: Place
    visit: int
    number: int = signal.SIGKILL
    group: bool = False

    def __call__(self) -> None:
        visits = 0

        def visited(place: Place) -> None:
            nonlocal visits
            visits += place == self.place
            if place == self.place and visits == self.visit:
                (os.killpg if self.group else os.kill)(os.getpid(), self.number)

        Watch(visited)


@dataclass(frozen=True)
class _Count:
    """A hook that writes how often each place was visited."""

    path: Path

    def __call__(self) -> Callable[[], None]:
        counts: Counter[Place] = Counter()

        def write() -> None:
            sys.setprofile(None)
            self.path.write_text(json.dumps(counts))

        Watch(lambda place: counts.update((place,)))
        return write


def visits(command: str, folder: Path, around: Callable[[Hook], Hook] | None = None) -> Mapping[Place, int]:
    """How often an undisturbed run visits each place; ``around`` makes further hooks of one."""
    path = folder / "visits.json"
    count = _Count(path)
    ended = attempt(command, around(count) if around else count)
    assert ended.status == 0, ended.err
    return json.loads(path.read_text())


def moment_in(visits: Mapping[Place, int], function: str, number: int, part: float = 0.5) -> Moment:
    """A moment when ``file:function`` was just called, after ``part`` of all its calls."""
    place = next(place for place in visits if place.startswith(f"{function}:") and place.endswith(":call"))
    return Moment(place, max(1, round(part * visits[place])), number)


def draw(random: random.Random, visits: Mapping[Place, int], number: int = signal.SIGKILL) -> Moment:
    """A moment: as often any moment of the run as any of its places."""
    places = sorted(visits)
    weights = [visits[place] for place in places] if random.random() < 0.5 else None
    place = random.choices(places, weights)[0]
    return Moment(place, random.randint(1, visits[place]), number)
