"""How much memory is free: on a GPU, on the machine, and within its control groups (containers, batch jobs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

_MEMINFO, _GROUPS, _MOUNT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_SECOND_VERSION = ("memory.max", "memory.current", "inactive_file")
_FIRST_VERSION = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory(device: torch.device) -> int:
    """Bytes free on ``device``; where the system does not tell, all there are."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min([_free_on_machine(), *_free_in_groups()])


def _free_on_machine() -> int:
    kilobytes = _entry(_MEMINFO, "MemAvailable:")
    if kilobytes is not None:
        return kilobytes * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_in_groups() -> Iterator[int]:
    """What each control group with a limit has left, file cache that nobody uses included."""
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
                yield max(0, limit - usage + (_entry(folder / "memory.stat", cache_name) or 0))
            if folder == mount:
                break


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or no limit (``max``) in it."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdecimal() else None


def _entry(path: Path, name: str) -> int | None:
    """The number after ``name`` in a file of names and numbers."""
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.split()[:1] == [name]:
            return int(line.split()[1])
    return None
