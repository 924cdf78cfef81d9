"""How fast LCMat-S selects, and in what memory: beside the dense way, other libraries, and itself at other sizes.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.selection                       # all of it: 19 minutes on two cores, 24 GB
    python -m benchmarks.selection --parts dense peers   # some of it

Prints markdown as it goes. Seconds are medians of repeats that take turns, ratios come from one run, and memory is
the most resident bytes of the process less those before. Every part has a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.accelerator import on_accelerator
from benchmarks.dense import against_dense
from benchmarks.growth import growth
from benchmarks.imagenet import imagenet_shape
from benchmarks.peers import against_libraries
from benchmarks.settings import EPS, NUM_DIMS
from utils.cli import run_main
from utils.device import describe_device
from utils.errors import UserError

Part = Callable[[argparse.Namespace], Iterator[str]]
PARTS: dict[str, tuple[str, Part]] = {
    "dense": ("One class of CIFAR-10's shape, beside the dense way", lambda chosen: against_dense(chosen.repeats)),
    "peers": ("Greedy alone, beside other libraries", lambda chosen: against_libraries(chosen.repeats)),
    "imagenet": ("ImageNet's shape", lambda chosen: imagenet_shape()),
    "growth": ("Growth with the samples and with the classes", lambda chosen: growth(chosen.plot)),
    "gpu": ("On a GPU", lambda chosen: on_accelerator(chosen.repeats)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts asked for."""
    chosen = _parser().parse_args(arguments)
    print(
        f"{describe_device(torch.device('cpu'))}, {torch.get_num_threads()} threads, torch {torch.__version__}, ",
        end="",
    )
    print(f"Python {platform.python_version()}; LCMat, eps {EPS}, K {NUM_DIMS}, d 512, float32", flush=True)
    for name in chosen.parts:
        process = multiprocessing.get_context("spawn").Process(target=_measure, args=(name, chosen))
        process.start()
        process.join()
        if process.exitcode:
            raise UserError(f"the part {name} failed; what it said is above")


def _measure(name: str, chosen: argparse.Namespace) -> None:
    title, part = PARTS[name]
    print(f"\n### {title}\n", flush=True)
    for text in part(chosen):
        print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description="How fast LCMat-S selects.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (all)")
    parser.add_argument("--repeats", type=int, default=3, help="of what takes at most a minute (3)")
    parser.add_argument("--plot", type=Path, default=Path("figures/growth.png"), help="where the growth is drawn")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
