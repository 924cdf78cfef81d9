"""Every writer leaves the old file or the new one; every reader takes a sound file or says what is wrong."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.errors import UserError
from utils.files import (
    content_digest,
    read_json,
    read_npz,
    remove_leftovers,
    set_aside,
    write_atomic,
    write_json,
    write_npz,
)

ARRAYS: dict[str, np.ndarray] = {
    "indices": np.arange(40, dtype=np.int64) ** 2,
    "weights": np.linspace(0, 1, 40, dtype=np.float32),
}

fuzz = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Every write beyond ``size`` bytes fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(error: BaseException) -> Callable[[int], None]:
    def fail(descriptor: int) -> None:
        raise error

    return fail


def test_write_makes_the_folder_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_full_disk_keeps_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(UserError, match=r"cannot write .*file: No space left on device"):
        write_atomic(path, b"new")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_file_size_limit_keeps_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with largest_file(1000), pytest.raises(UserError, match="cannot write"):
        write_atomic(path, bytes(100_000))
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_interrupted_write_keeps_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "file" / "below", b"")


def test_leftovers_of_killed_writers_go_and_nothing_else(tmp_path: Path) -> None:
    for name in (".config.json.abc.tmp", "config.json", ".lock", "notes.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "config.json", "notes.tmp"]


def test_set_aside_renames_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"broken")
    set_aside(path, "is damaged")
    assert not path.exists()
    assert (tmp_path / "file.damaged").read_bytes() == b"broken"
    assert capsys.readouterr().err == f"warning: {path} is damaged; set aside as file.damaged\n"
    with pytest.raises(UserError, match="cannot set"):
        set_aside(path, "is gone")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(path)


def test_json_comes_back_and_a_missing_file_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": [1, 2.5, None, "ü"]})
    assert read_json(tmp_path / "file.json") == {"a": [1, 2.5, None, "ü"]}
    with pytest.raises(UserError, match=r"cannot read .*missing\.json: No such file"):
        read_json(tmp_path / "missing.json")


def same(arrays: dict[str, np.ndarray]) -> bool:
    return arrays.keys() == ARRAYS.keys() and all(
        array.dtype == ARRAYS[name].dtype and np.array_equal(array, ARRAYS[name]) for name, array in arrays.items()
    )


def sound_npz(folder: Path) -> bytes:
    write_npz(folder / "sound.npz", ARRAYS)
    return (folder / "sound.npz").read_bytes()


def test_npz_comes_back(tmp_path: Path) -> None:
    sound_npz(tmp_path)
    assert same(read_npz(tmp_path / "sound.npz"))


def test_npz_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    content = sound_npz(tmp_path)
    path = tmp_path / "cut.npz"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError):
            read_npz(path)


@fuzz
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_npz_with_a_flipped_bit_is_refused_or_the_same(tmp_path: Path, position: float, bit: int) -> None:
    content = bytearray(sound_npz(tmp_path))
    content[int(position * len(content))] ^= 1 << bit
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    try:
        arrays = read_npz(path)
    except UserError:
        return
    assert same(arrays)


def test_npz_that_lost_an_array_is_noticed(tmp_path: Path) -> None:
    """A directory that names one array less is a sound zip file, but not the one that was written."""
    content = sound_npz(tmp_path)
    directory, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    second = content.index(b"PK\x01\x02", directory + 1)
    fields = struct.pack("<HHII", 1, 1, second - directory, directory)
    path = tmp_path / "file.npz"
    path.write_bytes(content[:second] + content[end : end + 8] + fields + content[end + 20 :])
    with np.load(path) as arrays:
        assert arrays.files == ["indices"]
    with pytest.raises(UserError, match="its checksum does not match"):
        read_npz(path)


def test_npz_of_others_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "file.npz", indices=ARRAYS["indices"], weights=ARRAYS["weights"])
    assert same(read_npz(tmp_path / "file.npz"))
    write_npz(tmp_path / "ours.npz", ARRAYS)
    with np.load(tmp_path / "ours.npz") as arrays:
        assert same(dict(arrays))


def test_npz_whose_shape_was_shrunk_is_noticed(tmp_path: Path) -> None:
    """numpy by itself would return the shorter array, and never compare the checksum."""
    path = tmp_path / "file.npz"
    np.savez(path, indices=np.arange(40))
    content = path.read_bytes()
    assert content.count(b"(40,)") == 1
    path.write_bytes(content.replace(b"(40,)", b"(20,)"))
    with pytest.raises(UserError, match="not a sound npz"):
        read_npz(path)


class Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.witness), "w")


def test_npz_with_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    np.savez(tmp_path / "hostile.npz", indices=np.array([Hostile(witness)], dtype=object))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Hostile(witness)))
    for name in ("hostile.npz", "bare.npz"):
        with pytest.raises(UserError, match="without pickled objects"):
            read_npz(tmp_path / name)
    assert not witness.exists()


def test_npz_of_objects_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no Python objects"):
        write_npz(tmp_path / "file.npz", {"indices": np.array([object()])})


def test_npz_with_a_member_that_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.npz", "w") as archive:
        archive.writestr("indices.npy", b"text")
    with pytest.raises(UserError, match="not a sound npz"):
        read_npz(tmp_path / "file.npz")


@pytest.mark.parametrize("name", ["missing", "a\0b", ""])
def test_a_file_that_cannot_be_read_has_no_digest(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot read"):
        content_digest(tmp_path / name)
