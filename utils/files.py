"""Files that are whole or absent: written beside and renamed, and never unpickled."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from utils.errors import UserError

_DAMAGED = (
    *(EOFError, NotImplementedError, RuntimeError, MemoryError, SyntaxError, Warning),
    *(ValueError, TypeError, AttributeError, LookupError, zipfile.BadZipFile, zlib.error),
)

_SEAL = b"sha256:"  # and 64 hex digits of the file as it is without a zip comment
_NO_COMMENT = b"\0\0"  # the length of the comment, at the end of a zip file that has none
_END, _LONGEST_END = b"PK\5\6", 22 + 0xFFFF  # where a zip file's directory ends, with the longest comment
_CHUNK = 1 << 24


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader sees the old file or the new one, never a part of it.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, stem: str = "") -> None:
    """Delete what writers of files that begin with ``stem``, killed in the middle, left in ``folder``.

    Call it where nobody else writes such files.
    """
    for temporary in folder.glob(f".{stem}*.tmp"):
        with contextlib.suppress(OSError):
            temporary.unlink()


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file to ``<name>.damaged`` and say so in one line on stderr.

    Raises:
        UserError: it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
    except OSError as error:
        raise UserError(f"cannot set the damaged {path} aside: {error.strerror or error}") from error
    print(f"warning: {path} {reason}; set aside as {aside.name}", file=sys.stderr)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``.

    Raises:
        UserError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error


def read_field(path: Path, name: str) -> str | None:
    """Return what follows ``name`` in a file of names and values, as those in /proc are; None where it is not there."""
    text = path.read_text() if path.exists() else ""
    found = re.search(rf"^{re.escape(name)}[ \t:]+(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def content_digest(path: Path) -> str:
    """Return 16 hex digits of the SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as a compressed npz without pickles, atomically, with its SHA-256 as zip comment."""
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError("an npz of this project holds no Python objects")
    named: dict[str, Any] = dict(arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    content = buffer.getvalue()
    seal = _SEAL + hashlib.sha256(content).hexdigest().encode()
    write_atomic(path, content[: -len(_NO_COMMENT)] + len(seal).to_bytes(2, "little") + seal)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file, unless it was truncated or altered.

    Files of :func:`write_npz` are compared with their SHA-256, others with zip's checksums of each array.

    Raises:
        UserError: missing, damaged, or holding pickled objects (which are never loaded).
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")
            return _read_arrays(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is not a sound npz file without pickled objects: {reason}") from error


def _read_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """Compare checksums, then return the arrays: numpy alone reads only as far as it needs."""
    if not _is_sealed(file):
        _check_end(file)
        with zipfile.ZipFile(file) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {damaged}")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        named = {name: arrays[name] for name in arrays.files}
    for name, array in named.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} is not an array")
    return named


def _is_sealed(file: BinaryIO) -> bool:
    """Return whether the file ends in a SHA-256; raise ValueError where it is another file's."""
    size = file.seek(0, os.SEEK_END)
    start = max(size - len(_SEAL) - 64, 0)
    file.seek(start)
    seal = file.read()
    if not seal.startswith(_SEAL):
        return False
    file.seek(0)
    checksum = hashlib.sha256()
    for left in range(start - len(_NO_COMMENT), 0, -_CHUNK):
        checksum.update(file.read(min(left, _CHUNK)))
    checksum.update(_NO_COMMENT)
    if seal != _SEAL + checksum.hexdigest().encode():
        raise ValueError("its checksum does not match")
    return True


def _check_end(file: BinaryIO) -> None:
    """Raise ValueError where a zip file's comment is shorter than its length says: it was cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _LONGEST_END, 0))
    tail = file.read()
    end = tail.rfind(_END)
    declared = int.from_bytes(tail[end + 20 : end + 22], "little")
    if end < 0 or declared != len(tail) - end - 22:
        raise ValueError("it is no zip file, or cut off")
