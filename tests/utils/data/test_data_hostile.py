"""Data sets that somebody tampered with: archives stay in their folder, and no file runs code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_images import save_cifar
from test_data_download import fail, serve
from test_data_imagenets import save_tiny_imagenet, tiny, zipped
from test_data_torchvision_sets import trust_cifar
from torchvision import datasets

from utils.config import DataConfig
from utils.data.download import obtain
from utils.data.load import load_data
from utils.data.loaders import tiny_imagenet
from utils.errors import UserError


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    return member(name, type=kind, linkname=target)


MEMBERS: dict[str, Callable[[Path], list[tarfile.TarInfo]]] = {
    "two dots": lambda outside: [member("../outside/evil")],
    "two dots within": lambda outside: [member("a/../../outside/evil")],
    "absolute": lambda outside: [member(f"{outside}/evil")],
    "through a link": lambda outside: [link("a", str(outside)), member("a/evil")],
    "through a relative link": lambda outside: [link("a", "../outside"), member("a/evil")],
    "hard link": lambda outside: [link("a", str(outside / "victim"), tarfile.LNKTYPE), member("a")],
}


def tar_of(members: list[tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info in members:
            content = b"evil" if info.isreg() else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the data that nothing may write to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "victim").write_text("as it was")
    return folder


def is_untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["victim"] and (outside / "victim").read_text() == "as it was"


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_tar_archive_stays_in_its_folder(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, members: Callable[[Path], list[tarfile.TarInfo]]
) -> None:
    """Even one whose checksum is the expected one."""
    content = tar_of(members(outside))
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(content))
    serve(monkeypatch, content)
    with pytest.raises(UserError, match="CIFAR10"):
        load_data(DataConfig("CIFAR10", str(tmp_path / "data")))
    assert is_untouched(outside)


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_tar_archive_stays_in_its_folder_whatever_torchvision_asks_for(
    tmp_path: Path, outside: Path, members: Callable[[Path], list[tarfile.TarInfo]]
) -> None:
    data = tmp_path / "data"
    before = tarfile.TarFile.extraction_filter

    def open_set(download: bool) -> None:
        if not download:
            raise RuntimeError("not found")
        with tarfile.open(fileobj=io.BytesIO(tar_of(members(outside)))) as archive:
            archive.extractall(data)

    with contextlib.suppress(UserError):
        obtain("Made", data, "made", open_set)
    assert is_untouched(outside)
    assert tarfile.TarFile.extraction_filter is before


@pytest.mark.parametrize("name", ["../outside/evil", "a/../../../outside/evil", "{outside}/evil", "link/evil"])
def test_a_zip_archive_stays_in_its_folder(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    buffer = io.BytesIO(zipped(save_tiny_imagenet(tmp_path / "source")))
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16  # of a link
        archive.writestr(entry, str(outside))
        archive.writestr(name.format(outside=outside), "evil")
    monkeypatch.setattr(tiny_imagenet, "_MD5", md5(buffer.getvalue()))
    serve(monkeypatch, buffer.getvalue())
    with contextlib.suppress(UserError):
        tiny(tmp_path / "data")
    assert (tmp_path / "data" / "tiny-imagenet-200").exists() == (name != "link/evil")
    assert is_untouched(outside)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "outside", "data"}


@dataclass
class Evil:
    """Pickled, it makes a folder when it is unpickled."""

    sentinel: Path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_cifar_batch_that_is_not_the_published_one_is_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save_cifar(tmp_path, 10)
    folder = tmp_path / datasets.CIFAR10.base_folder
    trust_cifar(monkeypatch, datasets.CIFAR10, folder)
    (folder / name).write_bytes(pickle.dumps(Evil(tmp_path / "sentinel")))
    fail(monkeypatch, OSError("no network"))
    with pytest.raises(UserError, match="CIFAR10 is not in"):
        load_data(DataConfig("CIFAR10", str(tmp_path)))
    assert not (tmp_path / "sentinel").exists()
