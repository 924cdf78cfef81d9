"""One of torchrun's ranks on a pretended GPU: ``torchrun --nproc_per_node=2 tests/gpu/rank.py <flags of main.py>``.

In the end it prints what a training step cost.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from gpu.counts import Count, counted  # noqa: E402
from gpu.pretended_gpu import PretendedGpu  # noqa: E402

import main  # noqa: E402
from utils.training.trainer import Training  # noqa: E402

_connect, _broadcast = dist.init_process_group, dist.broadcast_object_list
_served: set[str] = set()


def init_process_group(backend: str | None = None, **options: Any) -> None:
    """Connect with gloo in NCCL's place; by default a machine with GPUs knows NCCL alone."""
    _served.update(part.partition(":")[0] if ":" in part else "cuda" for part in (backend or "nccl").split(","))
    _connect("gloo", **options)


def broadcast_object_list(objects: list[Any], src: int, device: Any) -> None:
    """Refuse a device that no backend serves, as torch does."""
    if device.type not in _served:
        raise RuntimeError(f"No backend type associated with device type {device.type}")
    _broadcast(objects, src=src, device=device)


dist.init_process_group, dist.broadcast_object_list = init_process_group, broadcast_object_list
with (
    PretendedGpu(devices=2) as gpu,
    counted(gpu, Training, "_step", "a step"),
    counted(gpu, Training, "_epoch", "rest"),
):
    main.main()
    for name in ("a step", "rest"):
        count = Count.of(gpu.phases[name])
        print(f"{name}: {count.launches} launches, {count.waits} waits")
