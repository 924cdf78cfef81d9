"""A checkpoint comes back whole or not at all, and never runs anything."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.errors import UserError
from utils.training import checkpoint
from utils.training.checkpoint import load_checkpoint, save_checkpoint

fuzz = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def trained() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


def sound(path: Path) -> dict[str, Any]:
    network, optimizer = trained()
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "rows": [[1, 0.5, None]]}
    save_checkpoint(path, state)
    return state


def assert_set_aside(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = path.read_bytes()
    capsys.readouterr()
    assert load_checkpoint(path, "cpu") is None
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").read_bytes() == content
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {path} is ")
    assert warning.count("\n") == 1


def test_state_comes_back_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    state = sound(path)
    loaded = load_checkpoint(path, "cpu")
    assert loaded is not None
    assert loaded["epoch"] == 3
    assert loaded["rows"] == [[1, 0.5, None]]
    for name, tensor in state["network"].items():
        assert torch.equal(loaded["network"][name], tensor)
    network, optimizer = trained()
    network.load_state_dict(loaded["network"])
    optimizer.load_state_dict(loaded["optimizer"])
    assert torch.equal(optimizer.state_dict()["state"][0]["momentum_buffer"], torch.ones(2, 3))


def test_nothing_there(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt", "cpu") is None


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_checkpoint(tmp_path, "cpu")


@fuzz
@given(part=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: float) -> None:
    path = tmp_path / "checkpoint.pt"
    sound(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert_set_aside(path, capsys)


@fuzz
@given(part=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: float, bit: int) -> None:
    path = tmp_path / "checkpoint.pt"
    sound(path)
    content = bytearray(path.read_bytes())
    content[int(part * len(content))] ^= 1 << bit
    path.write_bytes(content)
    assert_set_aside(path, capsys)


class Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.witness), "w")


def write_raw(path: Path, value: object) -> None:
    """What somebody who knows the format can write: any object, with a right checksum."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    payload = buffer.getvalue()
    path.write_bytes(checkpoint._MAGIC + hashlib.sha256(payload).digest() + payload)


def test_hostile_pickle_with_a_right_checksum_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, witness = tmp_path / "checkpoint.pt", tmp_path / "witness"
    write_raw(path, {"network": Hostile(witness)})
    assert_set_aside(path, capsys)
    assert not witness.exists()


@pytest.mark.parametrize("value", [[1, 2], 3, "text"])
def test_what_is_no_dictionary_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: object) -> None:
    path = tmp_path / "checkpoint.pt"
    write_raw(path, value)
    assert_set_aside(path, capsys)


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="plain values, not"):
        save_checkpoint(tmp_path / "checkpoint.pt", {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_device_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    sound(path)
    with pytest.raises(RuntimeError):
        load_checkpoint(path, "nonsense")
    assert path.exists()


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path, "cpu") == {"epoch": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]
