"""Runs that are disturbed again and again, and then left alone, against the same run left alone from the start."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attempts import Attempt, Ended, attempt
from fault_points import Moment, Place, draw, visits
from outcomes import litter, outcome

_DISTURBANCES = 5  # at most in one story
SMALL = "--dataset Digits --model MLP --epochs 2 --batch 256 --lr 0.05 -se 2 --selection_lr 0.05 --fraction 0.05"
COMMANDS = {
    "LCMat": f"main.py {SMALL}",
    "ConvNet": f"main.py {SMALL} --model ConvNet --selection_model MLP --cross MLP --augmentation color_cutout",
    "GraNd": f"main.py {SMALL} -se 1 --selection GraNd --save_features",
    "Forgetting": f"main.py {SMALL} --selection Forgetting --val true --fraction 0.05 0.1 --num_eval 2",
    "Craig": f"main.py {SMALL} --selection Craig --scheduler none --num_exp 2",
}

UNIFORM = f"main.py {SMALL} --selection Uniform --fraction 0.5"


@dataclass(frozen=True)
class Undisturbed:
    """A command line, what it comes to, every moment that it passes, and how long it takes."""

    command: str
    outcome: Mapping[str, Any]
    visits: Mapping[Place, int]
    seconds: float

    @classmethod
    def of(cls, command: str, folder: Path) -> Undisturbed:
        """Run ``command`` and see."""
        save_path = folder / "undisturbed"
        save_path.mkdir(parents=True)
        started = time.monotonic()
        counted = visits(f"{command} --checkpoint_interval 0 --save_path {save_path}", folder)
        assert not litter(save_path)
        return cls(command, outcome(save_path), counted, time.monotonic() - started)


@dataclass(frozen=True)
class Disturbed:
    """One attempt that did not end by itself: by what, and how."""

    by: Moment | float  # or seconds, where it was killed by the clock
    ended: Ended


def story(told: Undisturbed, folder: Path, dice: random.Random, numbers: tuple[int, ...]) -> Iterator[Disturbed]:
    """Disturb a run up to 5 times by one of the signals at random moments, then let it finish, and compare.

    Where SIGKILL is among the signals, every fourth moment is one of the clock instead of the code.
    """
    command = f"{told.command} --save_path {folder} --checkpoint_interval {dice.choice(['0', '0', '0.05', '10'])}"
    for _ in range(_DISTURBANCES):
        if signal.SIGKILL in numbers and dice.random() < 0.25:
            seconds = dice.uniform(0, told.seconds)
            disturbed = Disturbed(seconds, Attempt(command).kill_after(seconds))
        else:
            moment = draw(dice, told.visits, dice.choice(numbers))
            disturbed = Disturbed(moment, attempt(command, moment))
        if disturbed.ended.status == 0:
            break
        yield disturbed
    ended = attempt(command)
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err
    assert outcome(folder) == told.outcome
    assert not litter(folder)
