"""Whatever flags a person types, a script ends with 0, or with 2 and one line; never with a traceback.

Training is left out: networks stay as they were initialised. Each line finds five finished runs and one that was
stopped. ``FUZZ_EXAMPLES=100000 pytest tests/faults/test_fuzz_command_lines.py`` tries many.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shlex
import shutil
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

import cross_network_generalization
import main
import nets
from methods.catalogue import method_infos
from utils.arguments import Choices, flags
from utils.cli import run_main
from utils.data import DATASETS
from utils.summary import Epoch
from utils.training import Outcome, Training

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "80"))
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CHOICES = Choices(tuple(nets.NETWORKS), method_infos(), tuple(DATASETS))
FLAGS = {flag.name: flag for group in flags(CHOICES).values() for flag in group}
METHODS = [method.name for method in CHOICES.methods]

SHORT = "--dataset ImageFolder --data_path ../images --model MLP --cross ConvNet --epochs 1 -se 1 --batch 8"
KINDS = {"[yes|no]": ["yes", "no", "true", "0", "T", "False", "n"], "N": ["1", "2", "7"]}
NUMBERS = ["0.5", "0.1", "0.9", "1e-3"]
SOUND: dict[str, list[str]] = {
    "dataset": ["ImageFolder", "Digits", "imagefolder", "CIFAR10", "MNIST", "TinyImageNet", "ImageNet"],
    "data_path": ["../images", "nowhere", "../images/train", "../file", "../corrupt", "../one-class"],
    "im_size": ["8", "9", "16", "28", "1"],
    "val_ratio": ["0.2", "0.5", "0.01", "0.99"],
    "model": ["MLP", "mlp", "ConvNet", "LeNet"],
    "cross": ["MLP", "ConvNet", "MLP ConvNet"],
    "selection": METHODS,
    "selection_optimizer": ["Adam", "SGD", "Rprop"],
    "fraction": ["0.1", "0.5", "1", "0.3 0.6", "1e-3", "0.99 0.99", "1.0"],
    "selection_model": ["MLP", "ConvNet"],
    "features": ["../sound.npz", "../sound.npz", "../coreset.npz", "../file", "nowhere.npz", "../images"],
    "coreset": [
        "../coreset.npz",
        "../coreset.npz ../coreset.npz",
        "../sound.npz",
        "../file",
        "nowhere.npz",
        "../images",
    ],
    "eps": ["0", "0.05", "1e30", "1e-300"],
    "K": ["1", "100", "1000000000"],
    "kernel": ["cosine", "worst", "adacore", "grad_l2"],
    "submodular": ["FacilityLocation", "GraphCut", "LogDeterminant"],
    "submodular_greedy": ["NaiveGreedy", "LazyGreedy", "StochasticGreedy", "ApproximateLazyGreedy"],
    "uncertainty": ["LeastConfidence", "Entropy", "Margin"],
    "optimizer": ["SGD", "adam", "AdamW", "LBFGS", "RMSprop"],
    "lr": ["0.1", "1e-30", "1e30", "5"],
    "scheduler": ["CosineAnnealingLR", "none", "StepLR", "OneCycleLR", "ExponentialLR", "ConstantLR"],
    "augmentation": ["standard", "none", "color", "color_crop_cutout_flip_scale_rotate", "flip"],
    "epochs": ["1", "3", "2147483647"],
    "seed": ["0", "7", "2147483647"],
    "num_exp": ["1", "2"],
    "num_eval": ["1", "2"],
    "save_path": [
        "result",
        "other/deep",
        ".",
        "../file",
        "../file/below",
        "/dev/null",
        "/proc/nowhere",
        "re sult",
        "~/x",
    ],
    "resume": ["THE-RUN", "THE-RUN", "THE-RUN/summary.json", "result", "nowhere", "", "../file", "../images"],
    "checkpoint_interval": ["0", "1e9"],
    "gpu": ["0", "1 2"],
    "workers": ["0", "1", "3"],
    "data_on_device": ["auto", "on", "off"],
    "memory_budget": ["1MB", "8GB", "1000000", "2GiB"],
    "compile": ["no"],
}
JUNK = [
    *("x", "é", "None", "True", "ResNet19", "..", "%s", "[1]", "--", "-", "--x", "-e", "0.1,0.2"),
    *("0", "-1", "1.5", "nan", "inf", "-inf", "1e999", "1e-999", "0x10", "1_0", "٣", "½"),
    *("", " ", "\n", "1 2", "\ud83d", "9" * 40, "a" * 5000),
]
QUICK = {"num_exp", "num_eval"}  # flags whose larger values would only take time
Draw = st.DrawFn


@st.composite
def words(draw: Draw) -> list[str]:
    """A short run on a few images, up to five further flags, and in every third line something that is no good."""
    line = [*shlex.split(SHORT), "--fraction", "0.5"]
    chosen = draw(st.lists(st.sampled_from(sorted(FLAGS)), max_size=5))
    spoiled = draw(st.integers(0, 3 * len(chosen)))
    for place, name in enumerate(chosen):
        flag = FLAGS[name]
        sound = SOUND.get(name) or KINDS.get(flag.metavar, NUMBERS)
        value = draw(st.sampled_from(JUNK if place == spoiled - 1 else sound))
        if name in QUICK and value not in sound:
            value = "-1"
        form = draw(st.integers(0, 99))
        spelled = draw(st.sampled_from(flag.names.split()))
        if form == 99:
            line.append(spelled)
        elif form > 80:
            line.append(f"{spelled}={value}")
        else:
            line += [spelled, *value.split(" ")]
    if draw(st.integers(0, 39)) == 39:
        line.insert(draw(st.integers(0, len(line))), draw(st.sampled_from([*JUNK, "--help", "-h"])))
    return line


def left_as_it_is(training: Training) -> Outcome:
    """In the place of ``Training.run``."""
    accuracy = 100 * len(training.task.indices) / len(training.task.data.train)
    history = (Epoch(training.config.epochs, training.config.optimizer.lr, 1.0, accuracy, 1.0, accuracy),)
    return Outcome(history, training.steps_per_epoch, 0.25, 100.0)


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

    def stopped(self) -> str:
        """The folder of the run that is not finished."""
        [run] = self.runs.glob("*_MLP_*_f0.1_*")
        return f"result/{run.name}"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Images, files and runs; nothing is trained or drawn, and there is no network."""

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
    status, err = ended(main, [*shlex.split(SHORT), "--save_path", "../runs", "--fraction", "0.1", "0.5", "1"])
    assert status == 0, err
    (made.runs / Path(made.stopped()).name / "summary.json").unlink()
    return made


def ended(script: ModuleType, line: list[str]) -> tuple[int, str]:
    """Its status and what it printed on stderr."""
    with (
        mock.patch.object(sys, "argv", [f"{script.__name__}.py", *line]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        return run_main(script.main), err.getvalue()


@pytest.mark.parametrize("script", [main, cross_network_generalization], ids=["main", "cross"])
def test_one_line_or_a_result(script: ModuleType, scene: Scene) -> None:
    statuses = Counter({0: 0, 2: 0})

    @FUZZ
    @given(line=words())
    def check(line: list[str]) -> None:
        scene.restore()
        status, err = ended(script, [word.replace("THE-RUN", scene.stopped()) for word in line])
        statuses[status] += 1
        errors = [text for text in err.splitlines() if text.startswith("error: ")]
        assert len(errors) == (1 if status == 2 else 0), err

    check()
    assert min(statuses[status] for status in (0, 2)) >= EXAMPLES // 20, statuses
