"""What a GPU does, one table a call; bash/gpu_report.sh makes all of them.

python -m benchmarks.gpu selection      # LCMat's selection beside the same on the CPU
python -m benchmarks.gpu eager          # images a second in training; also compiled, graphs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.accelerator import on_accelerator
from benchmarks.training_gpu import MATRIX, MODES, POOL, throughput
from utils.cli import run_main


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, and print its table."""
    chosen = _parser().parse_args(arguments)
    if chosen.what == "selection":
        for text in on_accelerator(chosen.repeats, chosen.samples):
            print(text, flush=True)
    else:
        print(throughput(chosen.what, chosen.network, chosen.images, chosen.matrix), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What a GPU does.")
    parser.add_argument("what", choices=("selection", *MODES), help="selection, or a mode of training")
    parser.add_argument("--repeats", type=int, default=3, help="of the selection on the GPU (3)")
    parser.add_argument("--samples", type=int, help="select from N of CIFAR-10's shape alone (from its and ImageNet's)")
    parser.add_argument("--network", default="ResNet18", help="the network to train (ResNet18)")
    parser.add_argument("--images", type=int, default=POOL, help=f"to train on ({POOL})")
    parser.add_argument(
        "--matrix", type=int, default=MATRIX, help=f"side of the products that give the peak ({MATRIX})"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
