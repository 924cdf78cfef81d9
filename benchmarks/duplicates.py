"""LCMat-S on samples many of which are copies of each other, with noise or without, beside ordinary ones.

    python -m benchmarks.duplicates                      # a minute on one core

The samples are those of one class of CIFAR-10's shape; copies take the places of the others. Seconds are of processor
time, which other work on the machine disturbs little, and medians of repeats that take turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from benchmarks.measure import table
from benchmarks.settings import lcmat
from benchmarks.shapes import one_class
from methods.features import Features
from utils.cli import Parser, run_main

_FRACTION = 0.1


def problems(n: int) -> dict[str, Features]:
    """Return ``n`` samples of each kind; noise is relative to embeddings and logits of about 1."""
    ordinary, i = one_class(n), torch.arange(n)
    random = torch.Generator().manual_seed(1)

    def copies(source: torch.Tensor, noise: float = 0.0) -> Features:
        z, f = (
            each[source] + noise * torch.randn(each.shape, generator=random)
            for each in (ordinary.embeddings, ordinary.logits)
        )
        return Features(z, f, ordinary.labels)

    return {
        "all different": ordinary,
        "every sample twice": copies(i // 2),
        "half of them one sample": copies(torch.where(i % 2 == 0, 0, i)),
        "all one sample": copies(i * 0),
        "all one sample, noise 1e-6": copies(i * 0, 1e-6),
        "all one sample, noise 1e-4": copies(i * 0, 1e-4),
        "5 samples, noise 1e-4": copies(i % 5, 1e-4),
        "50 samples, noise 1e-4": copies(i % 50, 1e-4),
        "every sample 8 times, noise 1e-4": copies(i // 8, 1e-4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = Parser(prog="python -m benchmarks.duplicates", description="How long LCMat takes where samples repeat.")
    parser.add_argument("--samples", type=int, default=2500, help="samples of the class (2500)")
    parser.add_argument("--repeats", type=int, default=5, help="of every selection (5)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    kinds = problems(chosen.samples)
    rounds = [{name: _seconds(features) for name, features in kinds.items()} for _ in range(chosen.repeats)]
    seconds = {name: statistics.median(each[name] for each in rounds) for name in kinds}
    usual = seconds["all different"]
    rows = [[name, f"{value:.2f}", f"{value / usual:.2f}×"] for name, value in seconds.items()]
    print(table([f"{chosen.samples:,} samples, {_FRACTION:.0%}", "CPU seconds", "of all different"], rows))


def _seconds(features: Features) -> float:
    started = time.process_time()
    lcmat(features, _FRACTION)
    return time.process_time() - started


if __name__ == "__main__":
    raise SystemExit(run_main(main))
