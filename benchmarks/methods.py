"""How fast every method selects, and in what memory, beside other packages where they have it.

    pip install -r benchmarks/requirements.txt
    git clone https://github.com/PatrickZH/DeepCore
    python -m benchmarks.methods --deepcore DeepCore --csv figures/methods.csv    # about fifteen minutes on two cores

5,000 samples of 10 classes, d 512, float32, all classes at once, on 2 threads. Scores are given, as in a library call.
Seconds are medians of repeats that take turns; memory is the most resident bytes less those before, inputs included.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits

from benchmarks.measure import Measured, measured, table, taking_turns
from benchmarks.method_peers import Peer, peers_of
from benchmarks.settings import EPS, picks
from benchmarks.shapes import even
from methods import METHODS, make_method
from methods.features import Features
from utils.cli import run_main
from utils.device import describe_device
from utils.flags import integer, number


@dataclass(frozen=True)
class Row:
    """What one method took, and one of its peers for the largest fraction.

    Attributes:
        method: its name.
        seconds: for each fraction.
        peak_bytes: beyond the inputs, the most of all fractions.
        peer: how another package selects, or None.
        peer_took: what that took.
        same: share of the picks that the peer picks too, in whatever order.
        objectives: of the method's picks and of the peer's, where there is an objective.
    """

    method: str
    seconds: Mapping[float, float]
    peak_bytes: int
    peer: Peer | None = None
    peer_took: Measured | None = None
    same: float | None = None
    objectives: tuple[float, float] | None = None

    def cells(self) -> dict[str, str]:
        """Return the row's text by column."""
        seconds = {f"{fraction:.0%} (s)": f"{each:.3f}" for fraction, each in self.seconds.items()}
        own, other = ("", "") if self.objectives is None else (f"{each:.6g}" for each in self.objectives)
        return {
            "method": self.method,
            **seconds,
            "MB": f"{self.peak_bytes / 1e6:.0f}",
            "peer, at the largest": "" if self.peer is None else self.peer.name,
            "peer (s)": "" if self.peer_took is None else f"{self.peer_took.seconds:.3f}",
            "peer (MB)": "" if self.peer_took is None else f"{self.peer_took.peak_bytes / 1e6:.0f}",
            "same picks": "" if self.same is None else f"{self.same:.1%}",
            "objective": own,
            "peer's objective": other,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every method, print a table, and write it as csv where asked."""
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    with threadpool_limits(chosen.threads):
        features = even(chosen.samples)
        fractions, measure = sorted(chosen.fractions), partial(_rows, repeats=chosen.repeats, deepcore=chosen.deepcore)
        rows = [row.cells() for name in chosen.methods for row in measure(name, features, fractions)]
    print(f"{describe_device(torch.device('cpu'))}, torch {torch.__version__}\n")
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    if chosen.csv is not None:
        with chosen.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _rows(
    name: str, features: Features, fractions: Sequence[float], repeats: int, deepcore: Path | None
) -> Iterator[Row]:
    """Yield a row for each peer of the method, or one if there is none."""
    print(name, file=sys.stderr, flush=True)
    options = {"eps": EPS} if "eps" in {field.name for field in dataclasses.fields(METHODS[name])} else {}
    works = [partial(measured, _selecting(name, features, fraction, options)) for fraction in fractions]
    peers = peers_of(make_method(name, **options), features, round(fractions[-1] * len(features)), deepcore)
    took = taking_turns(*works, *(partial(measured, peer.picks) for peer in peers), repeats=repeats)
    own = took[: len(fractions)]
    seconds = {fraction: each.seconds for fraction, each in zip(fractions, own, strict=True)}
    row = Row(name, seconds, max(each.peak_bytes for each in own))
    if not peers:
        yield row
    ours = own[-1].result
    for peer, others in zip(peers, took[len(fractions) :], strict=True):
        objectives = None if peer.objective is None else (peer.objective(ours), peer.objective(others.result))
        same = float(np.isin(ours, others.result).mean())
        yield dataclasses.replace(row, peer=peer, peer_took=others, same=same, objectives=objectives)


def _selecting(
    name: str, features: Features, fraction: float, options: Mapping[str, float]
) -> Callable[[], np.ndarray]:
    """Return a call that selects from all classes at once, by the losses where the method takes scores."""
    scores = F.cross_entropy(features.logits, features.labels, reduction="none")  # [n]

    return partial(picks, name, features, fraction, scores=scores, balance=False, **options)


def _parser() -> argparse.ArgumentParser:
    every = [name for name, method in METHODS.items() if not method.whole]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description="How fast every method selects.")
    parser.add_argument("--methods", nargs="+", choices=every, default=every, help="which (all)")
    parser.add_argument("--samples", type=integer(20), default=5000, help="in all (5000)")
    parser.add_argument("--fractions", nargs="+", type=number("(0, 1]"), default=[0.01, 0.05, 0.1], help="to keep")
    parser.add_argument("--threads", type=integer(1), default=2, help="of torch, and of what the peers use (2)")
    parser.add_argument("--repeats", type=integer(1), default=3, help="that take turns, two seconds each at least (3)")
    parser.add_argument("--deepcore", type=Path, help="a clone of github.com/PatrickZH/DeepCore, to measure it too")
    parser.add_argument("--csv", type=Path, help="where to write the table too")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
