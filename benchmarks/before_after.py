"""Where people wait, before and after: each thing that was made faster beside the way that it was done before.

    python -m benchmarks.before_after                       # about six minutes on two otherwise idle cores
    python -m benchmarks.before_after --lines weighted classes

Starting, and the training loop, are timed in this code and in that of an earlier commit, which git unpacks into a
temporary folder. Before and now take turns, seconds are medians, and where both select, the picks are asserted equal.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nets
from benchmarks.busy import training_steps
from benchmarks.measure import medians, table
from benchmarks.settings import EPS
from benchmarks.shapes import even, one_class
from methods import make_method
from methods.base import Method, PickSettings, SelectionInputs
from methods.kcentergreedy import first_centre
from methods.select import select, select_nested
from utils.cli import Parser, run_main
from utils.config import DataConfig, TrainingConfig
from utils.data.coreset import Coreset
from utils.data.load import Data, load_data
from utils.data.training_set import TrainingSet
from utils.errors import UserError
from utils.threads import at_most
from utils.training.machine import Machine
from utils.training.trainer import Training

_ROOT = Path(__file__).resolve().parents[1]
_EARLIER = "319d85f"  # before any of it
_CPU = torch.device("cpu")
_FRACTIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3)
_BATCH, _STEPS_PER_EPOCH = 32, 45  # of the 1,438 digits

Row = tuple[str, float | None, float]  # the work, its seconds before, and now


@dataclass(frozen=True)
class Sizes:
    """How much of everything: samples in each of ten classes, epochs of each training, and repeats."""

    samples: int
    epochs: int
    repeats: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = Parser(prog="python -m benchmarks.before_after", description="What people wait for, before and after.")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES), help=f"which ({' '.join(LINES)})")
    parser.add_argument("--samples", type=int, default=1000, help="in each of ten classes (1000)")
    parser.add_argument("--epochs", type=int, default=40, help="of each training (40)")
    parser.add_argument("--repeats", type=int, default=5, help="of everything (5)")
    chosen = parser.parse_args(arguments)
    sizes = Sizes(chosen.samples, chosen.epochs, chosen.repeats)
    rows = [_cells(row) for line in chosen.lines for row in LINES[line](sizes)]
    print(table(["work", "before (s)", "now (s)", "ratio"], rows))


def _cells(row: Row) -> list[str]:
    work, before, now = row
    print(work, file=sys.stderr, flush=True)
    compared = ("", "") if before is None else (f"{before:.3f}", f"{before / now:.2f}×")
    return [work, compared[0], f"{now:.3f}", compared[1]]


def _row(work: str, before: Callable[[], Any], now: Callable[[], Any], repeats: int) -> Row:
    """Time both, after a first call of each, which is to give the same."""
    _assert_same(before(), now())
    seconds = medians({"before": before, "now": now}, repeats)
    return work, seconds["before"], seconds["now"]


def _assert_same(before: Any, now: Any) -> None:
    if isinstance(before, Coreset):
        np.testing.assert_array_equal(before.indices, now.indices)
        np.testing.assert_array_equal(before.weights, now.weights)
    elif isinstance(before, list):
        for pair in zip(before, now, strict=True):
            _assert_same(*pair)
    else:
        assert before == now, (before, now)


def _starting(sizes: Sizes) -> Iterator[Row]:
    """Yield how long a program waits until it can select, beside torch alone."""
    commands = {
        "`from methods import select_coreset`": ["-c", "from methods import select_coreset"],
        "`main.py --help`": ["main.py", "--help"],
    }
    with _earlier() as earlier:
        work = {(what, place): partial(_run, commands[what], place) for what in commands for place in (earlier, _ROOT)}
        torch_alone = partial(_run, ["-c", "import torch"], _ROOT)
        seconds = medians({("torch", _ROOT): torch_alone, **work}, sizes.repeats)
    yield "`import torch` alone", None, seconds["torch", _ROOT]
    for what in commands:
        yield what, seconds[what, earlier], seconds[what, _ROOT]


def _loop(sizes: Sizes) -> Iterator[Row]:
    """Yield the seconds of a training of MLP by ``main.py``, and of its steps alone, on one thread."""
    steps = sizes.epochs * _STEPS_PER_EPOCH
    with _earlier() as earlier:
        rounds = [[_training_seconds(sizes.epochs, place) for place in (earlier, _ROOT)] for _ in range(sizes.repeats)]
    before, now = (statistics.median(each) for each in zip(*rounds, strict=True))
    with at_most(1):
        alone = medians({"steps": partial(training_steps, "MLP", 1, 8, _BATCH, steps)}, sizes.repeats)["steps"]
    yield f"{steps:,} steps of MLP on Digits in the training loop", before, now
    yield f"{steps:,} such steps by themselves", None, alone


def _training_seconds(epochs: int, place: Path) -> float:
    """Train by ``main.py`` in that folder; return the seconds that it says the training took."""
    with tempfile.TemporaryDirectory() as results:
        command = ["main.py", "--dataset", "Digits", "--model", "MLP", "--selection", "Uniform", "--fraction", "1.0"]
        command += ["--batch", str(_BATCH), "--epochs", str(epochs), "--test_interval", "0", "--save_path", results]
        _run(command, place, OMP_NUM_THREADS="1")
        (summary,) = Path(results).glob("*/summary.json")
        return float(json.loads(summary.read_text())["seconds"]["training"])


@contextmanager
def _earlier() -> Iterator[Path]:
    """Yield a temporary folder with the code of the earlier commit."""
    archive = subprocess.run(["git", "archive", _EARLIER], cwd=_ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise UserError(f"no commit {_EARLIER} here to compare with; clone the whole history")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def _run(command: Sequence[str], place: Path, **environment: str) -> None:
    """Run python in that folder."""
    subprocess.run([sys.executable, *command], cwd=place, check=True, env=os.environ | environment, capture_output=True)


def _weighted(sizes: Sizes) -> Iterator[Row]:
    """Yield seven fractions of weighted methods: seven selections, and one."""
    inputs = _ten_classes(sizes)
    wanted = [dict.fromkeys(range(10), max(1, round(each * sizes.samples))) for each in _FRACTIONS]
    options = {"Craig": {}, "LCMat": {"weighted": True, "eps": EPS}, "GradMatch": {}}
    for name, its in options.items():
        method = make_method(name, **its)
        before = partial(_one_by_one, method, inputs, wanted)
        now = partial(select_nested, method, inputs, wanted)
        yield _row(f"{name}, weighted, {len(wanted)} fractions at once", before, now, sizes.repeats)


def _one_by_one(method: Method, inputs: SelectionInputs, wanted: Sequence[dict[int, int]]) -> list[Coreset]:
    return [select(method, inputs, budgets) for budgets in wanted]


def _classes(sizes: Sizes) -> Iterator[Row]:
    """Yield ten classes side by side, and one after another on all threads or on one."""
    inputs, settings = _ten_classes(sizes), PickSettings(0, _CPU)
    classes = [inputs.subset((inputs.labels == label).nonzero()[:, 0]) for label in range(10)]
    budget = max(1, sizes.samples // 10)

    def after_another(method: Method) -> list[list[Coreset]]:
        return [method.pick_sizes(each, [budget], settings) for each in classes]

    def side_by_side(method: Method) -> list[list[Coreset]]:
        return method.pick_classes(classes, [[budget]] * 10, [settings] * 10)

    with ThreadPoolExecutor(1) as pool:  # where no method limits torch's threads
        for name in ("Herding", "kCenterGreedy", "GradMatch", "Glister", "ContextualDiversity"):
            method = make_method(name)

            def on_all_threads(method: Method = method) -> list[list[Coreset]]:
                return pool.submit(after_another, method).result()

            now, work = partial(side_by_side, method), f"{name}, classes side by side, not one after another"
            yield _row(f"{work} on {torch.get_num_threads()} threads", on_all_threads, now, sizes.repeats)
            yield _row(f"{work} on one", partial(after_another, method), now, sizes.repeats)


def _ten_classes(sizes: Sizes) -> SelectionInputs:
    features = even(10 * sizes.samples)
    return SelectionInputs(features.labels, features)


def _kcenter(sizes: Sizes) -> Iterator[Row]:
    """Yield k-center with distances by one matrix-vector product a pick, and by ``torch.cdist``."""
    features = one_class(5 * sizes.samples, dtype=torch.float64)
    n, budget = len(features), len(features) // 10
    inputs, z = SelectionInputs(features.labels, features), features.embeddings

    def by_cdist() -> list[int]:
        picked = [first_centre(n, seed=0)]
        nearest = torch.cdist(z, z[picked])[:, 0]  # [n]
        for _ in range(budget - 1):
            picked.append(int(nearest.argmax()))
            nearest = torch.minimum(nearest, torch.cdist(z, z[picked[-1:]])[:, 0])
        return picked

    def by_products() -> list[int]:
        return make_method("kCenterGreedy").pick(inputs, budget, PickSettings(0, _CPU)).indices.tolist()

    work = f"kCenterGreedy, {budget} of {n:,}: a matrix-vector product a pick, not cdist"
    yield _row(work, by_cdist, by_products, sizes.repeats)


def _proxy(sizes: Sizes) -> Iterator[Row]:
    """Yield trainings of a proxy that is tested at its end, and after every epoch."""
    for model, im_size, epochs in (("MLP", None, sizes.epochs), ("LeNet", 28, -(-sizes.epochs // 8))):
        data = load_data(DataConfig("Digits", im_size=im_size))
        work = f"a proxy, {model} on Digits, {epochs} epochs: tested at its end, not after each"
        train = partial(_train_proxy, model, data, epochs)
        yield _row(work, partial(train, test_interval=1), partial(train, test_interval=0), sizes.repeats)


def _train_proxy(model: str, data: Data, epochs: int, test_interval: int) -> list[float]:
    """Return the training loss of every epoch."""
    torch.manual_seed(0)
    network = nets.build(model, data.spec.channels, data.spec.num_classes, data.spec.im_size)
    config = TrainingConfig(epochs, augment=False, scheduler=None, test_interval=test_interval)
    task, machine = TrainingSet(data, data.pool), Machine(_CPU)
    training = Training(network, task, config, seed=0, purpose="proxy", label=model, machine=machine)
    return [epoch.train_loss for epoch in training.run().history]


LINES: dict[str, Callable[[Sizes], Iterator[Row]]] = {
    "starting": _starting,
    "weighted": _weighted,
    "classes": _classes,
    "kcenter": _kcenter,
    "proxy": _proxy,
    "loop": _loop,
}


if __name__ == "__main__":
    raise SystemExit(run_main(main))
