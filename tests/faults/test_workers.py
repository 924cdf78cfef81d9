"""Runs whose images are decoded by other processes: those go with them, and with them the locks that they share."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from attempts import Attempt, Hook, attempt
from fault_points import Place, moment_in, visits
from outcomes import litter, outcome
from PIL import Image

from utils.data.batches import Batch

COMMAND = (
    "main.py --dataset ImageFolder --model MLP --selection Uniform --fraction 0.5 --batch 4 --epochs 2 --im_size 8"
)


@dataclass(frozen=True)
class InFiles:
    """A hook: images stay in their files, as those of large sets do, and all processes of the run form a group."""

    then: Hook | None = None

    def __call__(self) -> Callable[[], None] | None:
        from utils.data.loaders import image_folder as folder

        folder.whole_memory = lambda: 1000  # type: ignore[assignment]
        os.setsid()
        return None if self.then is None else self.then()


@dataclass(frozen=True)
class Files:
    """A command on a folder of images, and the moments of its run with two workers."""

    command: str
    visits: Mapping[Place, int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("images")
    dice = random.Random(0)
    for half, count in (("train", 12), ("test", 6)):
        for label in ("cat", "dog"):
            (folder / half / label).mkdir(parents=True)
            for number in range(count):
                image = Image.frombytes("RGB", (8, 8), dice.randbytes(192))
                image.save(folder / half / label / f"{number}.png")
    command = f"{COMMAND} --data_path {folder} --checkpoint_interval 0"
    return Files(command, visits(f"{command} --workers 2 --save_path {folder / 'counted'}", folder, InFiles))


def processes_of_group(group: int) -> list[int]:
    """Those that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(
    ("function", "number"),
    [
        ("utils/training/trainer.py:_step", signal.SIGKILL),
        ("utils/training/trainer.py:_step", signal.SIGINT),
        ("utils/training/evaluation.py:evaluate", signal.SIGTERM),
    ],
)
def test_stopped_beside_workers(files: Files, tmp_path: Path, function: str, number: int) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert attempt(f"{files.command} --workers 0 --save_path {undisturbed}", InFiles()).status == 0
    moment = moment_in(files.visits, function, number, 0.9)
    moment = dataclasses.replace(moment, group=number != signal.SIGKILL)
    with Attempt(f"{files.command} --workers 2 --save_path {disturbed}", InFiles(moment)) as stopped:
        group = stopped.process.pid
        ended = stopped.wait()
    assert ended.status == (-number if number == signal.SIGKILL else 128 + number), ended.err
    assert "Traceback" not in ended.err
    assert attempt(f"{files.command} --workers 2 --save_path {disturbed}", InFiles()).status == 0
    assert outcome(disturbed) == outcome(undisturbed)
    assert not litter(disturbed)
    end = time.monotonic() + 30
    while processes_of_group(group):
        assert time.monotonic() < end
        time.sleep(0.05)


@dataclass(frozen=True)
class LoseALoader:
    """A hook: at the first step of the training one of its loader processes is killed, as for want of memory."""

    def __call__(self) -> None:
        from utils.training.trainer import Training

        step = Training._step

        def killing(training: Training, batch: Batch) -> None:
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
            step(training, batch)

        Training._step = killing  # type: ignore[method-assign]


def test_a_loader_process_that_is_killed_costs_one_line(files: Files, tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert attempt(f"{files.command} --workers 0 --save_path {undisturbed}", InFiles()).status == 0
    ended = attempt(f"{files.command} --workers 2 --save_path {disturbed}", InFiles(LoseALoader()))
    assert "a loader process was lost" in ended.error
    assert attempt(f"{files.command} --workers 2 --save_path {disturbed}", InFiles()).status == 0
    assert outcome(disturbed) == outcome(undisturbed)
