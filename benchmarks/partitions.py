"""Facility location in parts: how near it comes to the full greedy, and how it grows with features in files.

    python -m benchmarks.partitions quality --features FILE.npz         # real features, beside the full greedy
    python -m benchmarks.partitions growth --samples 20000 50000        # made-up features on disk, one class

LCMat with eps 0.01 and K = 100. Growth selects 1 % from float32 features of d = 512 and ten classes in a temporary
folder, 2 GB for a million samples, memory-mapped. Quality subtracts the seconds of the full greedy, which a selection
in parts from at most 10,000 samples measures too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth import exponent
from benchmarks.measure import measured, table
from benchmarks.settings import EPS, NUM_DIMS
from benchmarks.shapes import DIMENSIONS
from methods import Coreset, select_coreset
from utils.cli import Parser, run_main
from utils.files import read_npz

_MODES, _CLASSES, _AT_ONCE = 1000, 10, 10_000


def lcmat(features: dict[str, Any], fraction: float, partitions: str, memory_budget: int | None) -> Coreset:
    """Return LCMat's picks by the public call."""
    settings = {"partitions": partitions, "memory_budget": memory_budget, "eps": EPS, "num_dims": NUM_DIMS}
    return select_coreset("LCMat", **features, fraction=fraction, balance=False, **settings)


@dataclass(frozen=True)
class Timed:
    """A selection, its seconds on the clock and of all processors, and the bytes it took beyond its inputs."""

    coreset: Coreset
    seconds: float
    processor_seconds: float
    peak_bytes: int

    @classmethod
    def of(cls, work: Callable[[], Coreset]) -> Timed:
        """Call ``work`` once; seconds of processors are disturbed little by other work on the machine."""
        before = time.process_time()
        found = measured(work)
        return cls(found.result, found.seconds, time.process_time() - before, found.peak_bytes)


def quality(path: Path, samples: int, fractions: Sequence[float], partitions: Sequence[str]) -> str:
    """Return a table of objectives over that of the full greedy, on ``samples`` drawn from those in a file."""
    arrays = read_npz(path)
    chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["labels"]))[:samples])
    features = {name: arrays[name][chosen] for name in ("embeddings", "logits", "labels")} | {"temperature": "auto"}
    rows = []
    for fraction in fractions:
        full = Timed.of(partial(lcmat, features, fraction, "1", None))
        for parts in partitions:
            found = Timed.of(partial(lcmat, features, fraction, parts, None))
            (record,) = found.coreset.partitioned
            rows.append(
                [
                    f"{len(full.coreset):,} of {len(chosen):,}, {parts}",
                    f"{record.candidates:,}",
                    f"{100 * (record.ratio or 0):.2f} %",
                    f"{record.distance / (record.full_distance or 1):.3f}",
                    f"{full.processor_seconds:.2f}",
                    f"{found.processor_seconds - full.processor_seconds:.2f}",
                ]
            )
    titles = ["picks, --partitions", "candidates", "objective", "mean distance", "full greedy (s)", "in parts (s)"]
    return table(titles, rows)


def write_features(folder: Path, n: int) -> None:
    """Write embeddings [n, 512] and logits [n, 10] of a class of 1,000 clusters, 10,000 rows at a time."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(_MODES, DIMENSIONS)).astype(np.float32)
    layer = 0.02 * random.normal(size=(DIMENSIONS, _CLASSES)).astype(np.float32)
    z, f = (
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(n, width))
        for name, width in (("embeddings", DIMENSIONS), ("logits", _CLASSES))
    )
    for start in range(0, n, _AT_ONCE):
        rows = slice(start, min(start + _AT_ONCE, n))
        count = rows.stop - rows.start
        noise = 0.7 * random.standard_normal((count, DIMENSIONS), dtype=np.float32)
        z[rows] = np.maximum(centres[random.integers(_MODES, size=count)] + noise, 0)
        f[rows] = z[rows] @ layer


def growth(samples: Sequence[int], fraction: float, memory_budget: int, folder: Path | None) -> str:
    """Return a table of seconds and memory over n, each from features in a temporary folder below ``folder``."""
    rows, seconds = [], {}
    for n in samples:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            write_features(Path(place), n)
            names = ("embeddings", "logits")
            features = {name: np.load(Path(place) / f"{name}.npy", mmap_mode="r") for name in names}
            given = features | {"labels": np.zeros(n, dtype=np.int64)}
            found = Timed.of(partial(lcmat, given, fraction, "auto", memory_budget))
        seconds[n] = found.processor_seconds
        parts = found.coreset.partitioned
        rows.append(
            [
                f"{len(found.coreset):,} of {n:,}",
                f"{parts[0].parts if parts else 1}",
                f"{parts[0].candidates:,}" if parts else "–",
                f"{parts[0].distance:.4g}" if parts else "–",
                f"{found.seconds:.1f}",
                f"{found.processor_seconds:.1f}",
                f"{found.peak_bytes / 1e6:,.0f}",
            ]
        )
        print(" | ".join(rows[-1]), flush=True)
    titles = ["picks", "parts", "candidates", "mean distance", "seconds", "of processors", "MB"]
    power = f"\n\nexponent of the processors' seconds: {exponent(seconds):.2f}" if len(seconds) > 1 else ""
    return table(titles, rows) + power


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = Parser(prog="python -m benchmarks.partitions", description="Facility location in parts.")
    parser.add_argument("what", choices=("quality", "growth"))
    parser.add_argument("--features", type=Path, help="npz of --save_features, for quality")
    parser.add_argument("--samples", type=int, nargs="+", default=[20_000, 50_000], help="n (20000 50000)")
    parser.add_argument("--fraction", type=float, nargs="+", default=[0.01], help="to keep (0.01)")
    parser.add_argument("--partitions", nargs="+", default=["10", "near:10"], help="for quality (10 near:10)")
    parser.add_argument("--memory_budget", type=float, default=4e9, help="bytes, for growth (4e9)")
    parser.add_argument("--folder", type=Path, help="where growth keeps its features (the system's temporary folder)")
    chosen = parser.parse_args(arguments)
    if chosen.what == "growth":
        print(growth(chosen.samples, chosen.fraction[0], int(chosen.memory_budget), chosen.folder))
    else:
        print(quality(chosen.features, chosen.samples[0], chosen.fraction, chosen.partitions))


if __name__ == "__main__":
    raise SystemExit(run_main(main))
