"""How fast training is: as ratios to a torchvision loader on any machine, in images a second on a GPU.

    python -m benchmarks.training --data_path FOLDER

FOLDER holds train/<class>/* and test/<class>/* of 32×32 images; without it the bundled digits are enlarged to
3×32×32. Both sides hold the images in memory and train the same network with the same optimiser; torchvision's
makes a PIL image of each (as its CIFAR10 does), crops it from its reflect-padded self, flips, and normalises it.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import nets
from benchmarks.training_gpu import gpu_report
from utils.cli import run_main
from utils.config import DataConfig, OptimizerConfig, TrainingConfig
from utils.data.augmentation import PADDING
from utils.data.batches import Batches
from utils.data.images import MemoryImages
from utils.data.load import Data, load_data
from utils.data.training_set import TrainingSet
from utils.device import describe_device
from utils.training.machine import Machine
from utils.training.optimizers import build_optimizer, build_scheduler
from utils.training.trainer import Training

BATCH = 128
NETWORKS = ("MLP", "LeNet")
WORKERS = (0, 2)
HERE = -1
CPU = torch.device("cpu")

Loader = Iterable[tuple[Tensor, Tensor]]  # float32 [b, C, H, W] and int64 [b]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print tables."""
    options = _parser().parse_args(arguments)
    data = load(options.data_path, options.images)
    print(f"{describe_device(CPU)}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{len(data.train):,} images {data.spec.channels}×{data.spec.im_size}², batch {BATCH}, ", end="")
    print(f"median of {options.repeats} interleaved epochs each, images/s\n")
    print(markdown(["work", *(f"torchvision, {n} workers" for n in WORKERS), "here", "ratio", "ratio to the better"]))
    for name, row in rows(data, options.networks, options.repeats):
        loaders = " | ".join(f"{row[workers]:,.0f}" for workers in WORKERS)
        ratios = " | ".join(f"{row[HERE] / other:.1f}×" for other in (row[0], max(row[n] for n in WORKERS)))
        print(f"| {name} | {loaders} | {row[HERE]:,.0f} | {ratios} |", flush=True)
    print()
    print(gpu_report() if torch.cuda.is_available() else "On a GPU: not measured: no accelerator")


def markdown(titles: Sequence[str]) -> str:
    """Return the head of a markdown table."""
    return f"| {' | '.join(titles)} |\n| --- |{' ---: |' * (len(titles) - 1)}"


def load(path: str | None, count: int) -> Data:
    """Return ``count`` images for training, evenly from all classes, that are augmented as CIFAR-10 is."""
    if path is None:
        digits = load_data(DataConfig("Digits", im_size=32))
        halves = [MemoryImages(half.images.repeat(1, 3, 1, 1), half.labels) for half in _in_memory(digits)]
        spec = dataclasses.replace(digits.spec, channels=3, mean=digits.spec.mean * 3, std=digits.spec.std * 3)
        data = dataclasses.replace(digits, train=halves[0], test=halves[1], spec=spec)
    else:
        data = load_data(DataConfig("ImageFolder", path, im_size=32))
    train, test = _in_memory(data)
    kept = torch.arange(0, len(train), max(1, len(train) // count))[:count]
    spec = dataclasses.replace(data.spec, augmentation="crop_flip")
    part = MemoryImages(train.images[kept], train.labels[kept])
    return dataclasses.replace(data, train=part, test=test, pool=torch.arange(len(part)), spec=spec)


def _in_memory(data: Data) -> tuple[MemoryImages, MemoryImages]:
    if not isinstance(data.train, MemoryImages) or not isinstance(data.test, MemoryImages):
        raise TypeError("the benchmark takes images that fit into memory")
    return data.train, data.test


def rows(data: Data, networks: Sequence[str], repeats: int) -> Iterator[tuple[str, dict[int, float]]]:
    """Yield images a second of each piece of work, by the number of torchvision's workers; ``HERE`` is this project."""
    loaders = {workers: torchvision_loader(data, workers) for workers in WORKERS}

    def measured(there: Callable[[Loader], float], here: Callable[[], float]) -> dict[int, float]:
        work = {workers: partial(there, loader) for workers, loader in loaders.items()}
        return speeds({**work, HERE: here}, len(data.train), repeats)

    yield "loading alone", measured(passed, lambda: passed(own_loader(data)))
    for name in networks:
        yield f"training {name}", measured(partial(train_plainly, name, data), partial(train_here, name, data))


def speeds(work: Mapping[int, Callable[[], float]], images: int, repeats: int) -> dict[int, float]:
    """Return the median images a second; the repeats take turns, so that other load on the machine meets all alike.

    Args:
        work: each does one epoch, and returns its seconds.
    """
    seconds: dict[int, list[float]] = {key: [] for key in work}
    for _ in range(repeats):
        for key, epoch in work.items():
            seconds[key].append(epoch())
    return {key: images / statistics.median(each) for key, each in seconds.items()}


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images in memory that become PIL images one by one, as in torchvision's CIFAR10."""

    def __init__(self, images: MemoryImages, transform: Callable[[Image.Image], Tensor]) -> None:
        self.pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()  # [n, H, W, C]
        self.labels = images.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def torchvision_loader(data: Data, workers: int, augment: bool = True) -> Loader:
    """Return the usual loader for CIFAR-10."""
    spec = data.spec
    random = [
        transforms.RandomCrop(spec.im_size, padding=PADDING, padding_mode="reflect"),
        transforms.RandomHorizontalFlip(),
    ]
    fixed = [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    pictures = Pictures(_in_memory(data)[0], transforms.Compose([*(random if augment else []), *fixed]))
    return DataLoader(pictures, BATCH, shuffle=augment, num_workers=workers)


def own_loader(data: Data) -> Loader:
    """Return one epoch of this project's batches."""
    batches = Batches(data.train, data.spec, data.pool, BATCH, device=CPU, shuffle_seed=0, augment=True)
    return ((batch.x, batch.y) for batch in batches)


def passed(loader: Loader) -> float:
    """Return the seconds of one epoch in which nothing is done with the batches."""
    started = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - started


def train_plainly(name: str, data: Data, loader: Loader) -> float:
    """Return the seconds of one epoch of the loop that everybody writes."""
    network = _network(name, data)
    steps = -(-len(data.train) // BATCH)
    config = TrainingConfig(epochs=1, optimizer=OptimizerConfig(lr=0.01))
    optimizer = build_optimizer(config.optimizer, network.parameters())
    scheduler = build_scheduler(config.scheduler, optimizer, 1, steps)
    started = time.perf_counter()
    for x, y in loader:
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return time.perf_counter() - started


def train_here(name: str, data: Data) -> float:
    """Return the seconds of one epoch of this project's loop, which also counts losses and hits; without its test."""
    config = TrainingConfig(epochs=1, batch=BATCH, optimizer=OptimizerConfig(lr=0.01), test_fraction=1e-9)
    machine, task = Machine(CPU), TrainingSet(data, data.pool)
    training = Training(_network(name, data), task, config, seed=0, purpose="benchmark", label=name, machine=machine)
    return len(data.train) / training.run().images_per_second


def _network(name: str, data: Data) -> nets.Network:
    torch.manual_seed(0)
    spec = data.spec
    return nets.build(name, spec.channels, spec.num_classes, spec.im_size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="How fast training is.")
    parser.add_argument("--data_path", help="folder of train/<class>/* and test/<class>/*; none: the bundled digits")
    parser.add_argument("--images", type=int, default=10_000, help="to train on (10000)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each piece of work (5)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=f"({' '.join(NETWORKS)})")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_main(main))
