"""Checkpoints that are whole, checked before use, and never run code."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from utils.device import is_of_the_device
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.files import set_aside, write_atomic

_MAGIC = b"LCMat checkpoint 1\n"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size


class Checkpoint:
    """The file that keeps the state of one piece of work, and the clock that says when it is due again.

    Args:
        path: None to keep nothing.
        interval: seconds between two of them.
        world: the ranks that work together; the first one alone writes.
    """

    def __init__(self, path: Path | None, interval: float, world: World = SINGLE_PROCESS) -> None:
        self.path, self.interval, self.world = path, interval, world
        self.written_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the interval has passed since the last one, or since the work began."""
        return self.kept and time.monotonic() - self.written_at >= self.interval

    @property
    def kept(self) -> bool:
        """Whether this rank keeps anything."""
        return self.path is not None and self.world.is_rank_zero

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state``, and start the clock again."""
        if self.path is not None and self.world.is_rank_zero:
            save_checkpoint(self.path, state)
            self.written_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that was kept, its tensors on the CPU, on every rank; None where there is no sound one."""
        return None if self.path is None else self.world.on_rank_zero(load_checkpoint, self.path, "cpu")

    def remove(self) -> None:
        """Delete the file."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, None and lists, tuples, dicts of them) atomically.

    The file is a magic line, the SHA-256 of the rest, and the rest as ``torch.save`` writes it.

    Raises:
        TypeError: ``state`` holds an object that could not be loaded again without running code.
        UserError: the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    if objects := torch.serialization.get_unsafe_globals_in_checkpoint(buffer):
        raise TypeError(f"a checkpoint holds only tensors and plain values, not {', '.join(objects)}")
    payload = buffer.getvalue()
    write_atomic(path, _MAGIC + hashlib.sha256(payload).digest() + payload)


def load_checkpoint(path: Path, device: torch.device | str) -> dict[str, Any] | None:
    """Return the saved state with its tensors on ``device``, or None where there is no sound checkpoint.

    A truncated, altered or hostile file is named on stderr and renamed to ``<name>.damaged``.

    Raises:
        UserError: the file is there but cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    torch.empty(0, device=device)  # an unusable device is no fault of the file
    payload = content[_HEADER:]
    if content[:_HEADER] != _MAGIC + hashlib.sha256(payload).digest():
        set_aside(path, "is a damaged checkpoint (its checksum does not match)")
        return None
    try:
        state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except Exception as error:  # a file made by somebody else can make the loader raise anything
        if is_of_the_device(error):
            raise
        set_aside(path, f"is refused as a checkpoint ({type(error).__name__})")
        return None
    if not isinstance(state, dict):
        set_aside(path, "is refused as a checkpoint (not a dictionary)")
        return None
    return state


def read_weights(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return the parameters of the network in a file by name, on the CPU, and its description where there is one.

    The file is a checkpoint with ``network``, or a state dict by ``torch.save``. It is left as it is, whatever it
    holds; it never runs code.

    Raises:
        UserError: it cannot be read, is damaged, or holds no parameters.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    payload = content[_HEADER:] if content.startswith(_MAGIC) else content
    if payload is not content and content[:_HEADER] != _MAGIC + hashlib.sha256(payload).digest():
        raise UserError(f"{path} is damaged (its checksum does not match)")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a file made by somebody else can make the loader raise anything
        raise UserError(f"{path} holds no network: torch cannot load it ({type(error).__name__})") from error
    weights = state.get("network", state) if isinstance(state, Mapping) else None
    if not isinstance(weights, Mapping):
        raise UserError(f"{path} holds no network: it has no parameters by name")
    description = state.get("description")
    return weights, description if isinstance(description, Mapping) else None
