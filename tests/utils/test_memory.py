"""Free memory, of the machine and within control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from utils import memory

CPU = torch.device("cpu")
MACHINE = 8 * 1024**3


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up system with 8 GiB free and no control groups."""
    for name, path in (("_MEMINFO", "meminfo"), ("_GROUPS", "groups"), ("_MOUNT", "mount")):
        monkeypatch.setattr(memory, name, tmp_path / path)
    write(tmp_path, {"meminfo": f"MemTotal: 99 kB\nMemAvailable: {MACHINE // 1024} kB\n"})
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_without_control_groups_it_is_what_the_machine_has_left(system):
    assert memory.free_memory(CPU) == MACHINE


def test_runs_side_by_side_share_it(system, monkeypatch):
    monkeypatch.setenv(memory.RUNS_AT_ONCE, "3")
    assert memory.free_memory(CPU) == MACHINE // 3


def test_without_word_from_the_system_it_is_all_there_is(system):
    (system / "meminfo").unlink()
    assert memory.free_memory(CPU) > 0


def test_here_it_is_a_number_of_bytes():
    assert 0 < memory.free_memory(CPU) < 2**60


@pytest.mark.parametrize("limit", ["1000", "1000\n"])
def test_a_limit_of_the_group_leaves_what_is_not_used_and_unused_file_cache(system, limit):
    group = "mount/job/memory"
    write(system, {"groups": "0::/job\n", f"{group}.max": limit, f"{group}.current": "700\n"})
    assert memory.free_memory(CPU) == 300
    write(system, {f"{group}.stat": "anon 5\nfile 90\ninactive_file 40\n"})
    assert memory.free_memory(CPU) == 340
    write(system, {f"{group}.current": "2000\n", f"{group}.stat": ""})
    assert memory.free_memory(CPU) == 0


def test_a_limit_of_the_group_bounds_the_whole_memory(system):
    assert memory.whole_memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = "mount/job/memory"
    write(system, {"groups": "0::/job\n", f"{group}.max": "1000", f"{group}.current": "700\n"})
    assert memory.whole_memory() == 1000


def test_the_narrowest_of_the_groups_around_counts(system):
    write(
        system,
        {
            "groups": "0::/a/b\n",
            "mount/a/b/memory.max": "max\n",
            "mount/a/b/memory.current": "10\n",
            "mount/a/memory.max": "500\n",
            "mount/a/memory.current": "100\n",
            "mount/memory.max": "900\n",
            "mount/memory.current": "100\n",
            "memory.max": "1\n",  # beyond the mount
            "memory.current": "1\n",
        },
    )
    assert memory.free_memory(CPU) == 400


@pytest.mark.parametrize("folder", ["mount/memory/docker/7", "mount/memory"], ids=["own path", "seen as the root"])
def test_groups_of_the_first_version_too(system, folder):
    write(
        system,
        {
            "groups": "5:cpu,cpuacct:/docker/7\n4:memory:/docker/7\n0::/\n",
            f"{folder}/memory.limit_in_bytes": "1000\n",
            f"{folder}/memory.usage_in_bytes": "600\n",
            f"{folder}/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
            "mount/cpu/docker/7/memory.limit_in_bytes": "3\n",
        },
    )
    assert memory.free_memory(CPU) == 450


def test_a_group_without_a_limit_is_no_limit(system):
    write(system, {"groups": "0::/job\n", "mount/job/memory.max": "max\n", "mount/job/memory.current": "700\n"})
    assert memory.free_memory(CPU) == MACHINE
