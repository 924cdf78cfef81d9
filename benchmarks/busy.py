"""LCMat-S and small trainings beside other work on the same cores: how many threads, and how they wait.

    python -m benchmarks.busy                      # some minutes on two otherwise idle cores

The other work is processes that only compute, each on a core. Every row of settings is a process of its own, because
OpenMP reads them once; they take turns.
"""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch.nn.functional import cross_entropy

import nets
from benchmarks.measure import Elsewhere, table
from benchmarks.settings import lcmat
from benchmarks.shapes import one_class
from methods.features import Features
from utils.cli import Parser, run_main
from utils.threads import small_training

_SETTINGS: dict[str, dict[str, str | None]] = {
    "this project": {"GOMP_SPINCOUNT": None},
    "two threads, as torch comes": {"GOMP_SPINCOUNT": "300000"},
    "two, passive": {"OMP_WAIT_POLICY": "passive"},
    "one": {"OMP_NUM_THREADS": "1"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each kind of work."""
    parser = Parser(prog="python -m benchmarks.busy", description="How long work takes beside other work.")
    parser.add_argument("--samples", type=int, default=5000, help="samples of the class (5000)")
    parser.add_argument("--repeats", type=int, default=7, help="of everything (7)")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="numbers of busy cores (0 1 2)")
    chosen = parser.parse_args(arguments)
    kinds: dict[str, Callable[[], object]] = {
        f"LCMat, {chosen.samples:,} samples": partial(_selection, chosen.samples),
        "200 steps of MLP, batch 32 of 8×8": partial(training_steps, "MLP", 1, 8, 32, 200),
        "20 steps of LeNet, batch 128 of 32×32": partial(training_steps, "LeNet", 3, 32, 128, 20),
        "5 steps of ResNet8, batch 64 of 32×32": partial(training_steps, "ResNet8", 3, 32, 64, 5),
    }
    places = {name: Elsewhere(**environment) for name, environment in _SETTINGS.items()}
    for kind, work in kinds.items():
        columns = []
        for others in chosen.busy:
            with _busy(others):
                rounds = [
                    [place.measured(work).seconds for place in places.values()] for _ in range(chosen.repeats + 1)
                ]
            columns.append([statistics.median(values) for values in zip(*rounds[1:], strict=True)])  # the first loads
        rows = [[name, *(f"{column[i]:.2f}" for column in columns)] for i, name in enumerate(places)]
        print(table([f"{kind}, seconds", *(f"{others} busy" for others in chosen.busy)], rows), "\n", flush=True)


def _selection(samples: int) -> None:
    lcmat(_features(samples), 0.1)


@cache
def _features(samples: int) -> Features:
    return one_class(samples)


def training_steps(model: str, channels: int, size: int, batch: int, steps: int) -> None:
    """Train a fresh network by the steps that everybody writes, on one batch of random images."""
    network = nets.build(model, channels, 10, size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    images, labels = torch.randn(batch, channels, size, size), torch.randint(10, (batch,))
    with small_training(network, images.shape):
        for _ in range(steps):
            cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()


@contextmanager
def _busy(cores: int) -> Iterator[None]:
    """Keep that many cores busy meanwhile."""
    others = [multiprocessing.get_context("spawn").Process(target=_compute, daemon=True) for _ in range(cores)]
    for each in others:
        each.start()
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.join()


def _compute() -> None:
    while True:
        pass


if __name__ == "__main__":
    raise SystemExit(run_main(main))
