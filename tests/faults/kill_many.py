"""Kill many runs at random moments, see that each ends with its result all the same, and say how many.

    python tests/faults/kill_many.py --kills 200 --processes 10

Of the kills, ``--processes`` are of python itself, started as a person would, the others of forks.
"""

from __future__ import annotations

import argparse
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from fault_points import Moment  # noqa: E402
from outcomes import litter, outcome  # noqa: E402
from reference_runs import COMMANDS, Undisturbed, story  # noqa: E402

SIGNALS = {"kill": (signal.SIGKILL,), "interrupt": (signal.SIGINT, signal.SIGTERM)}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=SIGNALS, default="kill")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    stages: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        shares = [(options.kills - options.processes + turn) // len(COMMANDS) for turn in range(len(COMMANDS))]
        for (name, command), share in zip(COMMANDS.items(), shares, strict=True):
            stages += forks(Undisturbed.of(command, Path(folder) / name), share, dice, SIGNALS[options.signal])
            print(f"{name}: {share} disturbances", flush=True)
        stages["python main.py, by the clock"] = processes(Path(folder), options.processes, dice)
    print(f"{stages.total()} disturbances, every run ended with its own result")
    for stage, count in stages.most_common():
        print(f"{count:5} {stage}")


def forks(told: Undisturbed, wanted: int, dice: random.Random, numbers: tuple[int, ...]) -> Counter[str]:
    """Stories until ``wanted`` disturbances have happened; where in the code they did."""
    stages: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        chapter = 0
        while stages.total() < wanted:
            chapter += 1
            for disturbed in story(told, Path(folder) / str(chapter), dice, numbers):
                by, status = disturbed.by, disturbed.ended.status
                number = by.number if isinstance(by, Moment) else signal.SIGKILL
                assert status == (-number if number == signal.SIGKILL else 128 + number), disturbed
                stages[by.place.partition(":")[0] if isinstance(by, Moment) else "by the clock"] += 1
    return stages


def processes(folder: Path, wanted: int, dice: random.Random) -> int:
    """Kill ``python main.py``, from its first file on, ``wanted`` times in all."""
    command = f"{COMMANDS['LCMat']} --epochs 200 --checkpoint_interval 0.1"
    expected, kills = None, 0
    while expected is None or kills < wanted:
        save_path = folder / f"process {kills}"
        arguments = [sys.executable, *shlex.split(command), "--save_path", str(save_path)]
        for _ in range(0 if expected is None else 3):
            process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not list(save_path.glob("*/config.json")):
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 3))
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)
        found = outcome(save_path)
        expected = expected or found
        assert found == expected
        assert not litter(save_path)
    return kills


if __name__ == "__main__":
    main()
