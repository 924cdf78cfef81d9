"""What a command left behind: what must be the same however often it was disturbed, and what must not be there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from utils.data.coreset import Coreset

_MEASURED = ("seconds", "images_per_second", "peak_memory_bytes", "device", "digest")
_RUN = {".lock", "config.json", "selection.json", "coreset.npz", "scores.npz", "history.csv", "summary.json"}


def outcome(save_path: Path) -> dict[str, Any]:
    """All that the finished runs came to, but for what they took: settings, coreset, history, summary."""
    return {path.parent.name: _run(path.parent) for path in sorted(save_path.glob("*/summary.json"))}


def _run(folder: Path) -> dict[str, Any]:
    coreset = Coreset.load(folder / "coreset.npz")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"] is True
    return {
        "settings": json.loads((folder / "config.json").read_text())["run"],
        "indices": coreset.indices.tolist(),
        "weights": None if coreset.weights is None else coreset.weights.tolist(),
        "history": (folder / "history.csv").read_bytes(),
        "summary": {name: value for name, value in summary.items() if name not in _MEASURED},
    }


def litter(save_path: Path, *, set_aside: bool = False) -> list[str]:
    """Files that are gone where everything is finished; ones that were set aside are only where it is expected."""
    unwanted = {".tmp", ".checkpoint"} if set_aside else {".tmp", ".checkpoint", ".damaged"}
    return [str(path) for path in sorted(save_path.rglob("*")) if path.suffix in unwanted or _is_stray(path)]


def _is_stray(path: Path) -> bool:
    in_run = path.is_file() and (path.parent / "config.json").exists()
    return in_run and path.suffix != ".damaged" and path.name not in _RUN
