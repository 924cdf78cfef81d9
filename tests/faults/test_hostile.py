"""Files that somebody else made run no code, and names in them lead nowhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import attempt
from fault_points import moment_in
from outcomes import litter, outcome
from reference_runs import SMALL, Undisturbed

from utils.config import digest
from utils.files import write_json
from utils.training.checkpoint import _MAGIC


@dataclass
class Evil:
    """Pickled, it makes a folder when it is unpickled."""

    sentinel: Path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.sentinel),)


def pickled(sentinel: Path) -> bytes:
    return pickle.dumps(Evil(sentinel))


def torch_saved(sentinel: Path, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"network": {}, "observer": Evil(sentinel)}, buffer, **options)
    return buffer.getvalue()


def object_npz(sentinel: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, indices=np.array([Evil(sentinel)], dtype=object))
    return buffer.getvalue()


def pickle_in_zip(sentinel: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("indices.npy", pickled(sentinel))
    return buffer.getvalue()


def sealed(content: bytes) -> bytes:
    """With the checksum of a checkpoint."""
    return _MAGIC + hashlib.sha256(content).digest() + content


CHECKPOINTS = {
    "pickle": pickled,
    "torch.save": torch_saved,
    "sealed pickle": lambda sentinel: sealed(pickled(sentinel)),
    "sealed torch.save": lambda sentinel: sealed(torch_saved(sentinel)),
    "sealed old torch.save": lambda sentinel: sealed(torch_saved(sentinel, _use_new_zipfile_serialization=False)),
}
ARCHIVES = {"pickle": pickled, "objects": object_npz, "pickle in a zip": pickle_in_zip, "torch.save": torch_saved}


@pytest.mark.parametrize("made", [*CHECKPOINTS.values(), *ARCHIVES.values()], ids=[*CHECKPOINTS, *ARCHIVES])
def test_the_files_are_dangerous(tmp_path: Path, made: Callable[[Path], bytes]) -> None:
    """For whoever unpickles them."""
    content = made(tmp_path / "sentinel")
    content = content[len(_MAGIC) + 32 :] if content.startswith(_MAGIC) else content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            [name] = [each for each in archive.namelist() if each.endswith(("data.pkl", "indices.npy"))]
            content = archive.read(name)
    start = content.index(b"\x80") if not content.startswith(b"\x80") else 0
    stream = io.BytesIO(content[start:])
    unpickler = pickle.Unpickler(stream)
    while not (tmp_path / "sentinel").exists():
        unpickler.load()


@pytest.mark.parametrize("made", CHECKPOINTS.values(), ids=CHECKPOINTS)
@pytest.mark.parametrize("stage", ["proxy", "selection", "retraining"])
def test_a_hostile_checkpoint(told: Undisturbed, tmp_path: Path, stage: str, made: Callable[[Path], bytes]) -> None:
    function, part, pattern = {
        "proxy": ("utils/training/trainer.py:_step", 0.5, "proxies/*.checkpoint"),
        "selection": ("methods/select.py:select_nested", 1.0, "proxies/*.pt"),
        "retraining": ("utils/training/trainer.py:_step", 1.0, "*/checkpoint.pt"),
    }[stage]
    command = f"{told.command} --save_path {tmp_path / 'result'} --checkpoint_interval 0"
    attempt(command, moment_in(told.visits, function, signal.SIGKILL, part))
    [file] = (tmp_path / "result").glob(pattern)
    file.write_bytes(made(tmp_path / "sentinel"))
    ended = attempt(command)
    assert ended.status == 0, ended.err
    assert f"set aside as {file.name}.damaged" in ended.err
    assert outcome(tmp_path / "result") == told.outcome
    assert not (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("made", ARCHIVES.values(), ids=ARCHIVES)
def test_a_hostile_npz(uniform: Undisturbed, tmp_path: Path, made: Callable[[Path], bytes]) -> None:
    file = tmp_path / "hostile.npz"
    file.write_bytes(made(tmp_path / "sentinel"))
    for flag in ("--coreset", "--features"):
        assert "hostile.npz" in attempt(f"main.py {SMALL} {flag} {file} --save_path {tmp_path / 'a'}").error
    assert attempt(f"{uniform.command} --save_path {tmp_path / 'b'}").status == 0
    [coreset] = (tmp_path / "b").glob("*/coreset.npz")
    shutil.copy(file, coreset)
    assert attempt(f"{uniform.command} --save_path {tmp_path / 'b'}").status == 0
    assert outcome(tmp_path / "b") == uniform.outcome
    assert not (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("name", ["config.json", "selection.json", "summary.json"])
@pytest.mark.parametrize("content", ["[" * 10**6, '{"a":' * 10**5, "1" * 10**5, "NaN", "null", '"\\ud800"', "{}", "[]"])
def test_a_hostile_json(uniform: Undisturbed, tmp_path: Path, name: str, content: str) -> None:
    command = f"{uniform.command} --save_path {tmp_path}"
    assert attempt(command).status == 0
    [file] = tmp_path.glob(f"*/{name}")
    file.write_text(content)
    if name == "selection.json":
        (file.parent / "summary.json").unlink()
    ended = attempt(command)
    assert ended.status == 0, ended.err
    assert f"set aside as {name}.damaged" in ended.err
    assert outcome(tmp_path) == uniform.outcome
    assert not litter(tmp_path, set_aside=True)


STEMS = ["..", "...", "a b", "ünïcode", "-rf", "~", "$(touch x)", "a\nb", "x" * 200, "con:aux", ".hidden", "%s%n"]


@pytest.mark.parametrize("stem", STEMS)
def test_a_coreset_by_any_name_stays_in_the_save_path(tmp_path: Path, stem: str) -> None:
    folder = tmp_path / "work"
    (folder / "in").mkdir(parents=True)
    np.savez(folder / "in" / "c.npz", indices=np.arange(20))
    (folder / "in" / "c.npz").rename(folder / "in" / f"{stem}.npz")
    ended = attempt(f"main.py {SMALL} --coreset='{folder / 'in' / stem}.npz' --save_path {folder / 'result'}")
    assert ended.status in (0, 2)
    assert "Traceback" not in ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"work"}
    assert {path.name for path in folder.iterdir()} <= {"in", "result"}
    assert ended.status == 0, ended.error


def test_names_in_the_settings_beside_a_coreset_lead_nowhere(uniform: Undisturbed, tmp_path: Path) -> None:
    save_path = tmp_path / "first"
    assert attempt(f"{uniform.command} --save_path {save_path}").status == 0
    [config] = save_path.glob("*/config.json")
    values = json.loads(config.read_text())
    values["run"]["selection"]["method"] = "../../outside"
    del values["digest"]
    write_json(config, {**values, "digest": digest(values)})
    ended = attempt(f"main.py {SMALL} --coreset {config.parent / 'coreset.npz'} --save_path {tmp_path / 'second'}")
    assert "cannot name a folder" in ended.error
    assert "renamed" in attempt(f"main.py --resume {config.parent}").error
    assert {path.name for path in tmp_path.iterdir()} == {"first"}
