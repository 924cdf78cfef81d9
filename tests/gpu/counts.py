"""Kernel launches and waits of the host, counted on a pretended GPU: ``python tests/gpu/counts.py``.

Each function counts one kind of work and returns a phase a row; tests/gpu/test_launches_and_waits.py holds them to
their budgets.
Counts do not depend on the size of images or networks, so these are small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from condensing import config  # noqa: E402
from gpu.pretended_gpu import Phase, PretendedGpu  # noqa: E402
from gpu.small_training import small_training  # noqa: E402
from method_problems import problem  # noqa: E402
from torchrun import torchrun  # noqa: E402

import nets  # noqa: E402
from condensation import learning  # noqa: E402
from methods import deepfool, select_coreset  # noqa: E402
from utils.config import OptimizerConfig, TrainingConfig  # noqa: E402
from utils.data.batches import Batches  # noqa: E402
from utils.data.images import MemoryImages  # noqa: E402
from utils.data.load import Data  # noqa: E402
from utils.data.registry import DataSpec  # noqa: E402
from utils.execution import ExecutionConfig  # noqa: E402
from utils.training.machine import Machine  # noqa: E402

GPU = torch.device("cuda", 0)
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Count:
    """What one of ``calls`` costs, on average."""

    launches: float
    waits: float

    @classmethod
    def of(cls, phase: Phase, calls: int | None = None) -> Count:
        calls = phase.calls if calls is None else calls
        return cls(phase.launches / calls, phase.waits.total() / calls)


@contextlib.contextmanager
def counted(gpu: PretendedGpu, owner: Any, name: str, phase: str) -> Iterator[None]:
    """Count what happens in every call of ``owner.name`` within the block."""
    function = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        with gpu.phase(phase):
            return function(*arguments, **options)

    with mock.patch.object(owner, name, call):
        yield


def training(model: str, held: str = "on", epochs: int = 3) -> dict[str, Count]:
    """Return counts of a step, of an epoch beside its steps and of a test; images lie on the GPU (``on``) or not."""
    settings = TrainingConfig(epochs=epochs, batch=16, optimizer=OptimizerConfig(lr=0.01))
    with PretendedGpu() as gpu:
        run = small_training(Machine(GPU, ExecutionConfig(data_on_device=held)), settings, model)
        watched = {"_epoch": "an epoch beside its steps", "_step": "a step", "_test": "a test"}
        with contextlib.ExitStack() as stack:
            for name, phase in watched.items():
                stack.enter_context(counted(gpu, run, name, phase))
            run.run()
        return {phase: Count.of(gpu.phases[phase]) for phase in watched.values()}


def ten_classes(images: int) -> Data:
    """So many images of 1×8×8 of each of ten classes."""
    n = images * CLASSES
    pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    half = MemoryImages(pixels, torch.arange(n) % CLASSES)
    spec = DataSpec("Ten", 1, 8, CLASSES, tuple("abcdefghij"), (0.3,), (0.2,), "none")
    return Data(spec, half, half, torch.arange(n), torch.arange(0), "ten")


def condensation(method: str, real_batch: int = 256) -> dict[str, Count]:
    """Return counts of a pixel step of ten classes, with the next network where that is due, and of an inner step."""
    loops: dict[str, int] = {} if method == "DM" else {"outer": 2, "inner": 2}
    settings = config(method, model="ConvNet", iterations=2, real_batch=real_batch, **loops)
    with PretendedGpu() as gpu, contextlib.ExitStack() as stack:
        whole = learning.Condensation(settings, ten_classes(real_batch), Machine(GPU), None, lambda *_: None)
        stack.enter_context(counted(gpu, whole, "_step", "a pixel step"))
        stack.enter_context(counted(gpu, learning, "train_on", "an inner step"))
        whole.run()
        found = {"a pixel step": Count.of(gpu.phases["a pixel step"])}
        if loops:
            inner = gpu.phases["an inner step"]
            found["an inner step"] = Count.of(inner, inner.calls * loops["inner"])
        return found


def selection(method: str, memory_budget: int | None = None, balance: bool = True, **options: Any) -> dict[str, Count]:
    """Return counts of a pick (of three classes, one of each) and of a class without its picks.

    What a pick costs is the difference of two selections, one of three times as many.
    """
    features, costs = problem(n=180, d=200).features, []
    for picks in (5, 15):
        with PretendedGpu() as gpu:
            z, f, y = (each.to(GPU) for each in (features.embeddings, features.logits, features.labels))
            with gpu.phase("selection") as phase:
                select_coreset(
                    method,
                    embeddings=z,
                    logits=f,
                    labels=y,
                    fraction=3 * picks / len(features),
                    balance=balance,
                    memory_budget=memory_budget,
                    **options,
                )
        costs.append((phase.launches, phase.waits.total()))
    classes, rounds = (3, 10) if balance else (1, 30)
    (fewer_launches, fewer_waits), (launches, waits) = costs
    pick = Count((launches - fewer_launches) / rounds, (waits - fewer_waits) / rounds)
    before = rounds / 2  # picks in the smaller selection
    rest = Count((fewer_launches - before * pick.launches) / classes, (fewer_waits - before * pick.waits) / classes)
    return {"a pick of each class" if balance else "a pick": pick, "a class without its picks": rest}


def adversarial(model: str = "ConvNet") -> dict[str, Count]:
    """Return counts of a step of DeepFool."""
    data = ten_classes(2)
    with PretendedGpu() as gpu:
        torch.manual_seed(0)
        network = nets.build(model, 1, CLASSES, 8).to(GPU)
        batches = Batches(data.train, data.spec, torch.arange(20), 20, device=GPU)
        with (
            counted(gpu, deepfool, "_squared_perturbations", "beside"),
            counted(gpu, deepfool, "_step_to_boundary", "a step"),
        ):
            deepfool.perturbations(network, batches)
        step, beside = gpu.phases["a step"], gpu.phases["beside"]
        together = Count(step.launches + beside.launches, step.waits.total() + beside.waits.total())
        return {"a step": Count(together.launches / step.calls, together.waits / step.calls)}


def ranks(model: str = "ResNet18") -> dict[str, Count]:
    """Return counts in one of two ranks, as tests/gpu/rank.py prints them."""
    with tempfile.TemporaryDirectory() as folder:
        flags = (
            f"--dataset Digits --model {model} --selection Uniform --fraction 0.05 --epochs 2 --batch 16 --workers 0"
        )
        done = torchrun("tests/gpu/rank.py", *flags.split(), "--save_path", folder)
    found = re.findall(r"^(a step|rest): (\S+) launches, (\S+) waits$", done.stdout, re.MULTILINE)
    counts = {name: Count(float(launches), float(waits)) for name, launches, waits in found}
    return {"a step": counts["a step"], "an epoch beside its steps": counts["rest"]}


SCENES: dict[str, Callable[[], dict[str, Count]]] = {
    "training MLP": lambda: training("MLP"),
    "training ConvNet": lambda: training("ConvNet"),
    "training ResNet18": lambda: training("ResNet18"),
    "training ResNet18, images in main memory": lambda: training("ResNet18", "off"),
    "LCMat-C": lambda: condensation("LCMat"),
    "DSA": lambda: condensation("DSA"),
    "DC": lambda: condensation("DC"),
    "DM": lambda: condensation("DM"),
    "DSA, 7 real images of a class": lambda: condensation("DSA", 7),
    "LCMat": lambda: selection("LCMat"),
    "LCMat, weighted": lambda: selection("LCMat", weighted=True),
    "Craig": lambda: selection("Craig"),
    "GraphCut": lambda: selection("LCMatGC"),
    "LCMat, all classes as one": lambda: selection("LCMat", balance=False),
    "LCMat, all classes as one, on demand": lambda: selection("LCMat", balance=False, memory_budget=1 << 18),
    "LCMat, all classes as one, close pairs kept": lambda: selection("LCMat", balance=False, memory_budget=3 << 18),
    "DeepFool": adversarial,
    "training ResNet18, two ranks": ranks,
}


def main() -> None:
    """Print all counts as a table."""
    print("| work | | launches | waits |\n| --- | --- | ---: | ---: |")
    chosen = sys.argv[1:] or SCENES
    for name in chosen:
        for what, count in SCENES[name]().items():
            print(f"| {name} | {what} | {count.launches:.4g} | {count.waits:.3g} |", flush=True)


if __name__ == "__main__":
    main()
