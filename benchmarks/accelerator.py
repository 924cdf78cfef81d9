"""LCMat-S on a GPU, features ready there, beside the same selection on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.measure import medians, table
from benchmarks.settings import lcmat
from benchmarks.shapes import even, imagenet
from methods.features import Features
from utils.device import describe_device, finish_queued_work, pick_device

_FRACTION = 0.1
_SHAPES = {"CIFAR-10 (50,000, 10 classes)": lambda: even(50_000), "ImageNet (1,281,167, 1000 classes)": imagenet}


def on_accelerator(repeats: int, samples: int | None = None) -> Iterator[str]:
    """Yield a table: seconds on the GPU and on the CPU, and their ratio.

    Args:
        repeats: of the selections on the GPU.
        samples: to select from, in 10 classes; None: as many as CIFAR-10 has, and as many as ImageNet.
    """
    device = pick_device()
    if device.type != "cuda":
        yield "Not measured: no accelerator."
        return
    rows = []
    shapes = _SHAPES if samples is None else {f"{samples:,}, 10 classes": partial(even, samples)}
    for name, shape in shapes.items():
        here = shape()
        there = Features(here.embeddings.to(device), here.logits.to(device), here.labels.to(device))

        def on_gpu(features: Features = there) -> None:
            lcmat(features, _FRACTION)
            finish_queued_work(device)

        on_gpu()  # the first call loads kernels
        seconds = medians({"gpu": on_gpu}, repeats)["gpu"]
        cpu = medians({"cpu": partial(lcmat, here, _FRACTION)}, 1)["cpu"]
        rows.append([name, f"{seconds:.2f}", f"{cpu:.1f}", f"{cpu / seconds:.0f}×"])
    threads = torch.get_num_threads()
    yield table([f"10%, {describe_device(device)}", "GPU (s)", f"CPU, {threads} threads (s)", "ratio"], rows)
