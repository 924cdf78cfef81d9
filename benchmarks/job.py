"""The whole main job by phases: a proxy, LCMat-S's coreset, a fresh network trained on it.

    python -m benchmarks.job --data_path FOLDER          # a few minutes on two cores

FOLDER holds train/<class>/* and test/<class>/*, such as CIFAR-10's. Of each half the first images of every class are
taken, as links in a temporary folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import table
from utils.cli import Parser, run_main
from utils.errors import UserError

_ROOT = Path(__file__).resolve().parents[1]
_PHASES = ("proxy", "features", "selection", "training")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = Parser(prog="python -m benchmarks.job", description="How long the main job takes, phase by phase.")
    parser.add_argument("--data_path", type=Path, required=True, help="folder of train/<class>/*, test/<class>/*")
    parser.add_argument("--images", type=int, default=10_000, help="for training; as many for tests at most (10000)")
    parser.add_argument("--networks", nargs="+", default=["LeNet", "ConvNet"], help="(LeNet ConvNet)")
    chosen = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        for half in ("train", "test"):
            _link(chosen.data_path / half, images / half, chosen.images)
        for network in chosen.networks:
            phases = _seconds(network, images, Path(folder, network))
            rows.append([network, *(f"{phases[phase]:.1f}" for phase in (*_PHASES, "all the rest", "in all"))])
    titles = ["proxy, 2 epochs", "its features", "LCMat, 10%", "retraining, 10 epochs", "all the rest", "in all"]
    print(table([f"{chosen.images:,} images, seconds", *titles], rows))


def _link(source: Path, target: Path, images: int) -> None:
    classes = sorted(each for each in source.iterdir() if each.is_dir()) if source.is_dir() else []
    if not classes:
        raise UserError(f"{source} holds no folders of images; name a folder of train/<class>/* and test/<class>/*")
    for each in classes:
        (target / each.name).mkdir(parents=True)
        for image in sorted(each.iterdir())[: images // len(classes)]:
            (target / each.name / image.name).symlink_to(image.resolve())


def _seconds(network: str, images: Path, results: Path) -> dict[str, float]:
    """Run the job; return the seconds of its phases, of all the rest (start, loading, tests, records), and in all."""
    command = [sys.executable, "main.py", "--dataset", "ImageFolder", "--data_path", images, "--model", network]
    command += ["--augmentation", "crop_flip", "--selection", "LCMat", "--fraction", "0.1", "--eps", "0.01"]
    command += ["--selection_epochs", "2", "--epochs", "10", "--test_interval", "0", "--save_path", results]
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
    in_all = time.perf_counter() - started
    (summary,) = results.glob("*/summary.json")
    phases: dict[str, float] = json.loads(summary.read_text())["seconds"]
    return phases | {"all the rest": in_all - sum(phases[phase] for phase in _PHASES), "in all": in_all}


if __name__ == "__main__":
    raise SystemExit(run_main(main))
