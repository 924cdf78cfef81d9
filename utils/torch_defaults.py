"""Torch as this project expects it, inside a program that set defaults of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Run the block, or a function that this decorates, without gradients and with torch's usual dtype and device.

    What a caller set by ``torch.set_default_dtype`` and ``torch.set_default_device`` holds again afterwards.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.no_grad(), nullcontext() if device.type == "cpu" else torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
