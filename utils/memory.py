"""How much memory is free: on a GPU, on the machine, and within its control groups (containers, batch jobs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from utils.files import read_field

RUNS_AT_ONCE = "RUNS_AT_ONCE"  # the environment's name for how many runs share a device
_MEMINFO, _GROUPS, _MOUNT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_SECOND_VERSION = ("memory.max", "memory.current", "inactive_file")
_FIRST_VERSION = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory(device: torch.device) -> int:
    """Return the bytes free on ``device`` for this run; where the system does not tell, of all that there are.

    Of several runs at once on a device, as bash/jobs.sh starts them, each has an equal part.
    """
    return _free_on(device) // max(1, int(os.environ.get(RUNS_AT_ONCE) or 1))


def _free_on(device: torch.device) -> int:
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min([_free_on_machine(), *(left for _, left in _groups())])


def whole_memory() -> int:
    """Return the bytes of RAM that this process may use: the machine's, or what a control group allows."""
    return min([_on_machine(), *(limit for limit, _ in _groups())])


def _free_on_machine() -> int:
    available = read_field(_MEMINFO, "MemAvailable")
    if available is not None:
        return int(available.removesuffix("kB")) * 1024
    return _on_machine()


def _on_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that has one, and the bytes left of it, with cache that nobody uses."""
    for line in _GROUPS.read_text().splitlines() if _GROUPS.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        limit_name, usage_name, cache_name = _FIRST_VERSION if controllers else _SECOND_VERSION
        mount = _MOUNT / "memory" if controllers else _MOUNT
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, usage = _number(folder / limit_name), _number(folder / usage_name)
            if limit is not None and usage is not None:
                yield limit, max(0, limit - usage + int(read_field(folder / "memory.stat", cache_name) or 0))
            if folder == mount:
                break


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is no such file, or no limit (``max``) in it."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdecimal() else None
