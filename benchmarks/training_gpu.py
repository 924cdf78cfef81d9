"""The part of the training benchmark that needs a GPU: throughput, short runs, and the table made of them."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import nets
from utils.config import OptimizerConfig, TrainingConfig
from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.data.registry import DataSpec
from utils.data.training_set import TrainingSet
from utils.device import describe_device, finish_queued_work, pick_device
from utils.training.machine import Machine
from utils.training.trainer import Training, TrainingResult

CLASSES, SIDE = 10, 32
POOL, TEST = 50_000, 10_000
FRACTIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3)
SEEDS = 3
EPOCHS, PROXY_EPOCHS = 200, 10
BATCHES = (128, 512)
MODES = ("eager", "compiled", "graphs")
CORESETS = (50, 500, 5000)
MATRIX = 8192  # side of the matrices whose product gives the peak


def gpu_report() -> str:
    """Return all measurements as markdown, made on the first GPU with random images of CIFAR-10's shape."""
    device = pick_device()
    data = random_data(POOL, TEST)
    lines = [throughput("eager", "ResNet18", POOL, MATRIX)]
    lines += ["", f"| ResNet18, {EPOCHS} epochs, batch {BATCHES[0]} | seconds | steps/s |", "| --- | ---: | ---: |"]
    step_seconds = {}
    for images in CORESETS:
        outcome = train("ResNet18", data, images, EPOCHS, BATCHES[0], device)
        step_seconds[images] = outcome.seconds / outcome.steps
        lines.append(f"| {images:,} images | {outcome.seconds:.1f} | {outcome.steps / outcome.seconds:.0f} |")
    seconds = table_seconds(step_seconds)
    return "\n".join([*lines, "", f"The CIFAR-10 table ({len(FRACTIONS)} × {SEEDS}): about {seconds / 60:.0f} minutes"])


def throughput(mode: str, network: str, images: int, side: int) -> str:
    """Return a table of the images a second that training in bfloat16 sees, and their share of the matrix rate.

    Args:
        mode: one of ``MODES``.
        network: a name in ``nets``.
        images: to train on, random ones of CIFAR-10's shape.
        side: of the matrices whose products give the rate.
    """
    device = pick_device()
    peak, flops, data = matmul_rate(device, side), training_flops(network), random_data(images, max(1, images // 5))
    lines = [f"{describe_device(device)}, bfloat16, matrix products at {peak / 1e12:.3g} TFLOP/s", ""]
    lines += [f"| {network}, 3×32², {mode} | images/s | share of the matrix rate |", "| --- | ---: | ---: |"]
    train(network, data, images, 1, BATCHES[0], device, mode)  # the first steps choose algorithms
    for batch in BATCHES:
        rate = train(network, data, images, 3, batch, device, mode).images_per_second
        lines.append(f"| batch {batch} | {rate:,.0f} | {rate * flops / peak:.0%} |")
    return "\n".join(lines)


def train(
    name: str, data: Data, images: int, epochs: int, batch: int, device: torch.device, mode: str = "eager"
) -> TrainingResult:
    """Train on the first ``images``, tested every tenth epoch as the sweeps do.

    Args:
        mode: ``graphs`` is --compile on a GPU, ``compiled`` the same kernels launched one by one.
    """
    network = nets.build(name, data.spec.channels, CLASSES, data.spec.im_size)
    config = TrainingConfig(
        epochs=epochs,
        batch=batch,
        optimizer=OptimizerConfig(lr=0.01),
        test_interval=10,
        amp=device.type == "cuda",
        compile=mode == "graphs",
    )
    task, machine = TrainingSet(data, data.pool[:images]), Machine(device)
    training = Training(network, task, config, seed=0, purpose="benchmark", label=f"{name} {images}", machine=machine)
    if mode == "compiled":
        training.forward = torch.compile(training.network)
    return training.run()


def table_seconds(step_seconds: dict[int, float]) -> float:
    """Return the seconds of the whole table: every run's steps, at the speed of the largest measured coreset that fits.

    Args:
        step_seconds: of the coresets measured, by their images.
    """

    def retraining(images: int) -> float:
        measured = max((size for size in step_seconds if size <= images), default=min(step_seconds))
        return EPOCHS * -(-images // BATCHES[0]) * step_seconds[measured]

    proxy = PROXY_EPOCHS * -(-POOL // BATCHES[0]) * step_seconds[max(step_seconds)]
    return SEEDS * (proxy + sum(retraining(round(fraction * POOL)) for fraction in FRACTIONS))


def random_data(train: int, test: int, side: int = SIDE) -> Data:
    """Return random images and labels of CIFAR-10's shape: speed does not depend on what they show."""
    random = torch.Generator().manual_seed(0)

    def split(n: int) -> MemoryImages:
        images = torch.randint(256, (n, 3, side, side), dtype=torch.uint8, generator=random)
        return MemoryImages(images, torch.randint(CLASSES, (n,), generator=random))

    names = tuple(map(str, range(CLASSES)))
    spec = DataSpec("Random", 3, side, CLASSES, names, (0.5,) * 3, (0.25,) * 3, "crop_flip")
    return Data(spec, split(train), split(test), torch.arange(train), torch.empty(0, dtype=torch.int64), "random")


def training_flops(name: str, side: int = SIDE) -> float:
    """Return the floating-point operations of one image's forward and backward pass."""
    network: nn.Module = nets.build(name, 3, CLASSES, side)
    x, y = torch.zeros(2, 3, side, side), torch.zeros(2, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(x), y).backward()
    return counter.get_total_flops() / 2


def matmul_rate(device: torch.device, side: int = MATRIX, repeats: int = 20) -> float:
    """Return the floating-point operations a second of bfloat16 matrix products, the fastest of several."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(_seconds(a, b) for _ in range(repeats))


def _seconds(a: Tensor, b: Tensor) -> float:
    finish_queued_work(a.device)
    started = time.perf_counter()
    torch.mm(a, b)
    finish_queued_work(a.device)
    return time.perf_counter() - started
