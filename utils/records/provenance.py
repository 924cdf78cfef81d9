"""Where a result came from: versions, the code's commit, the command line."""

from __future__ import annotations

import functools
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_CODE = Path(__file__).resolve().parents[2]


def provenance() -> dict[str, Any]:
    """Return ``versions`` of Python and of the packages that compute, ``git_commit`` (or None) and ``command``."""
    packages = ("torch", "torchvision", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "git_commit": git_commit(),
        "command": shlex.join(sys.argv),
    }


@functools.cache
def git_commit() -> str | None:
    """Return the commit of this code; None outside its own repository or without git."""
    if not (_CODE / ".git").exists():
        return None
    command = ["git", "-C", str(_CODE), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
