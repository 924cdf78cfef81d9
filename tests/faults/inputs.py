"""Where made-up command lines are given: images, files and runs; nothing is trained or drawn."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure
from PIL import Image

import main
from utils.cli import run_main
from utils.training.history import Epoch
from utils.training.trainer import Training, TrainingResult

SHORT = "--dataset ImageFolder --data_path ../images --model MLP --cross ConvNet --epochs 1 -se 1 --batch 8"


def examples(few: int) -> settings:
    """How many made-up things a test tries: ``few``, always the same, or as many others as FUZZ_EXAMPLES says."""
    asked = os.environ.get("FUZZ_EXAMPLES")
    return settings(
        max_examples=int(asked or few),
        derandomize=asked is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def left_as_it_is(training: Training) -> TrainingResult:
    """In the place of ``Training.run``."""
    accuracy = 100 * len(training.training_set.indices) / len(training.training_set.data.train)
    if training.observer is not None:
        everything = torch.arange(len(training.training_set.indices))
        training.observer.observe(training.config.epochs - 1, everything, torch.zeros(len(everything), 4))
    history = (Epoch(training.config.epochs, training.config.optimizer.lr, 1.0, accuracy, 1.0, accuracy),)
    return TrainingResult(history, training.steps_per_epoch, 0.25, 100.0)


def make_files(folder: Path) -> None:
    """Images and files that command lines name."""
    dice, random_numbers = random.Random(0), np.random.default_rng(0)
    for half, label, count in (("train", "cat", 9), ("train", "dog", 7), ("test", "cat", 3), ("test", "dog", 2)):
        for place in ("images", "corrupt"):
            (folder / place / half / label).mkdir(parents=True)
            for number in range(count):
                image = Image.frombytes("RGB", (8, 8), dice.randbytes(192))
                image.save(folder / place / half / label / f"{number}.png")
    (folder / "corrupt" / "train" / "dog" / "3.png").write_bytes(b"no image")
    (folder / "one-class" / "train" / "only").mkdir(parents=True)
    (folder / "file").write_text("nothing of use\n")
    np.savez(folder / "coreset.npz", indices=np.arange(0, 16, 2))
    features = {"embeddings": random_numbers.normal(size=(16, 3)), "logits": random_numbers.normal(size=(16, 2))}
    np.savez(folder / "sound.npz", labels=np.array([0] * 9 + [1] * 7), **features)


@dataclass(frozen=True)
class Scene:
    """The folder that command lines are given in, and the runs that are there when one is."""

    folder: Path
    runs: Path

    def restore(self) -> None:
        """Undo what a command line did."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.runs, self.folder / "result")
        os.chdir(self.folder)

    def check(self, function: Callable[[], object], words: list[str]) -> int:
        """The status of a command line: 0, or 2 and one line; THE-RUN in it is a run that was stopped."""
        self.restore()
        status, err = ended(function, [word.replace("THE-RUN", self.stopped()) for word in words])
        errors = [text for text in err.splitlines() if text.startswith("error: ")]
        assert status in (0, 2)
        assert len(errors) == (1 if status == 2 else 0), err
        assert "Traceback" not in err
        return status

    def stopped(self) -> str:
        """The folder of the run that is not finished."""
        [run] = self.runs.glob("*_MLP_*_f0.1_*")
        return f"result/{run.name}"


def make_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Five finished runs and a stopped one; from now on nothing is trained or drawn, and there is no network."""

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(Training, "run", left_as_it_is)
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **_: file.write(b"a picture"))
    made = Scene(tmp_path / "now", tmp_path / "runs")
    monkeypatch.setenv("TORCH_HOME", str(made.folder / "torch"))
    monkeypatch.setenv("HOME", str(made.folder / "home"))
    make_files(tmp_path)
    made.folder.mkdir()
    monkeypatch.chdir(made.folder)
    flags = shlex.split(f"{SHORT} --save_path ../runs --fraction 0.1 0.5 1")
    status, err = ended(main.main, ["main.py", *flags])
    assert status == 0, err
    (made.runs / Path(made.stopped()).name / "summary.json").unlink()
    return made


def ended(function: Callable[[], object], words: list[str]) -> tuple[int, str]:
    """Its status and what it printed on stderr."""
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        return run_main(function), err.getvalue()
