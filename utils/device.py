"""The device that computes: choosing it, its precision, memory and random state, and its description."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from utils.errors import UserError
from utils.files import read_field

_LACKS_MEMORY = ("out of memory", "ALLOC_FAILED", "can't allocate memory")  # as CUDA, its libraries and torch say it
_FORGET_PEAK = Path("/proc/self/clear_refs")
_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts; without it, it adds in any order
_OF_THE_DEVICE = (
    "CUDA error",
    "cuDNN error",
    "CUDNN_STATUS",
    "CUBLAS_STATUS",
    "cuBLAS",
    "CUSOLVER_STATUS",
    "NCCL error",
)


def pick_device(gpu: tuple[int | str, ...] = (), local_rank: int = 0) -> torch.device:
    """Choose the first GPU asked for, else the first there is, else the CPU; allow TF32 for float32 on a GPU.

    ``("cpu",)`` asks for the CPU.

    Args:
        local_rank: of several processes on this machine the n-th takes the n-th GPU.

    Raises:
        UserError: there is no such GPU, or there are more processes than GPUs.
    """
    if gpu == ("cpu",) or not torch.cuda.is_available():
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if absent := [number for number in gpu if int(number) >= there]:
        raise UserError(f"--gpu {absent[0]}: this machine has GPUs 0 to {there - 1}")
    chosen = gpu or tuple(range(there))
    if local_rank >= len(chosen):
        raise UserError(f"more processes than GPUs; start torchrun with --nproc_per_node={len(chosen)}")
    device = torch.device("cuda", int(chosen[local_rank]))
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return device


def autocast(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    """Return the context that computes in bfloat16 where it is ``enabled``, else in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def full_precision(logits: torch.Tensor) -> torch.Tensor:
    """Return the logits in float32, as losses are computed, unless they are wider already."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def memory_layout(device: torch.device) -> torch.memory_format:
    """Return how images and kernels lie in memory: a GPU's convolutions are fastest with the channels last."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def lacks_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that a device, or a library on it, had too little memory."""
    said = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(words in said for words in _LACKS_MEMORY)
    )


def is_of_the_device(error: BaseException) -> bool:
    """Return whether ``error`` is the device's, such as too little memory, and no fault of what was computed."""
    accelerator = getattr(torch, "AcceleratorError", torch.OutOfMemoryError)  # which older torch lacks
    return lacks_memory(error) or isinstance(error, accelerator) or any(words in str(error) for words in _OF_THE_DEVICE)


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 matrix products and convolutions in float32, not in TF32, within the block."""
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def moved(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Return ``tensor`` on ``device``; the host does not wait for a copy to a GPU."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def untuned_convolutions() -> Iterator[None]:
    """Take cuDNN's first choice of algorithm within the block, where the number of images changes all the time.

    Tuning tries every algorithm for each number of images anew, which takes longer than the few passes it speeds up.
    """
    tuned = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = tuned


def compute_deterministically() -> None:
    """Have torch compute the same bits each time from now on, in the whole process, and refuse what it cannot.

    On a GPU sums are otherwise added in the order in which threads arrive, and convolutions tuned anew in each process.
    """
    os.environ.setdefault(*_CUBLAS)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def finish_queued_work(device: torch.device) -> None:
    """Wait for a GPU to finish, so that a clock read next is right."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's global generators that ``device`` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore what :func:`random_state` returned."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def forget_peak_memory(device: torch.device) -> None:
    """Count :func:`peak_memory` from here on; where the system cannot, it stays that of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        _FORGET_PEAK.write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return the most bytes held since :func:`forget_peak_memory`, or since this process began.

    They are those on the GPU where it computes on one, else those resident in RAM.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if kilobytes := read_field(Path("/proc/self/status"), "VmHWM"):  # getrusage counts who started this process too
        return int(kilobytes.removesuffix("kB")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_device(device: torch.device, processes: int = 1) -> str:
    """Describe the device in words, and how many ``processes`` share the work, each on such a device."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"CPU, {torch.get_num_threads()} threads ({_processor()})"
    return name if processes == 1 else f"{processes} × {name}"


def _processor() -> str:
    return read_field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()
