from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
import time
import urllib.request
from http.client import RemoteDisconnected
from pathlib import Path
from urllib.error import URLError

import pytest
from made_images import save_cifar
from test_data_torchvision_sets import md5, trust_cifar
from torchvision import datasets

from utils.config import DataConfig
from utils.data.download import obtain
from utils.data.load import load_data
from utils.errors import UserError

DOWNLOADED = ["CIFAR10", "CIFAR100", "MNIST", "permutedMNIST", "FashionMNIST", "QMNIST", "SVHN", "TinyImageNet"]


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Answer every request with ``content``."""

    class Response(io.BytesIO):
        length = len(content)

        def __init__(self, url: str) -> None:
            super().__init__(content)
            self.url = url

    monkeypatch.setattr(urllib.request, "urlopen", lambda request, *_, **__: Response(request.full_url))


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def urlopen(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_failed_download_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, URLError(socket.gaierror(-3, "Temporary failure in name resolution")))
    root = tmp_path / "new" / "data"
    with pytest.raises(UserError) as caught:
        load_data(DataConfig(name, str(root)))
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    assert "looked for" in message
    assert "name resolution" in message
    assert message.endswith("try --dataset Digits")
    assert len(message) < 600
    assert capsys.readouterr().out == ""
    assert root.is_dir()


@pytest.mark.parametrize(
    "error", [URLError("unreachable"), TimeoutError("timed out"), RemoteDisconnected("closed"), ConnectionResetError()]
)
def test_any_way_to_fail_ends_in_that_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fail(monkeypatch, error)
    with pytest.raises(UserError, match="--dataset Digits"):
        load_data(DataConfig("CIFAR10", str(tmp_path)))


@pytest.mark.parametrize("name", ["CIFAR10", "MNIST", "SVHN", "TinyImageNet"])
def test_what_is_downloaded_damaged_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    serve(monkeypatch, b"<html>log in to this network first</html>")
    for _ in range(2):
        with pytest.raises(UserError, match="corrupted"):
            load_data(DataConfig(name, str(tmp_path)))


def test_a_data_path_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for root in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(UserError, match=re.escape(str(root))):
            load_data(DataConfig("CIFAR10", str(root)))


@pytest.fixture
def cifar_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The archive of a small CIFAR10 whose checksums are the expected ones."""
    source = tmp_path / "source"
    save_cifar(source, 10)
    trust_cifar(monkeypatch, datasets.CIFAR10, source / datasets.CIFAR10.base_folder)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(source / datasets.CIFAR10.base_folder, datasets.CIFAR10.base_folder)
    content = buffer.getvalue()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    return content


def test_a_missing_set_is_downloaded_once_and_quietly(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cifar_archive: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(monkeypatch, cifar_archive)
    config = DataConfig("CIFAR10", str(tmp_path / "new" / "data"))
    first = load_data(config)
    assert len(first.train) == 10
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"CIFAR10 is not in {config.data_path}: downloading it\n"
    fail(monkeypatch, AssertionError("downloaded twice"))
    assert load_data(config).fingerprint == first.fingerprint
    assert capsys.readouterr().err == ""


def test_a_half_extracted_folder_is_not_taken_for_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar_archive: bytes
) -> None:
    serve(monkeypatch, cifar_archive)
    config = DataConfig("CIFAR10", str(tmp_path / "data"))
    whole = load_data(config).fingerprint
    folder = tmp_path / "data" / datasets.CIFAR10.base_folder
    (folder / "data_batch_3").write_bytes(b"half of i")
    (folder / "test_batch").unlink()
    fail(monkeypatch, AssertionError("the archive lies there"))
    assert load_data(config).fingerprint == whole
    assert md5(folder / "data_batch_3") == datasets.CIFAR10.train_list[2][1]


def test_downloads_time_out_and_leave_the_default_alone(tmp_path: Path) -> None:
    seen = []

    def open_set(download: bool) -> int:
        if not download:
            raise RuntimeError("not found")
        seen.append(socket.getdefaulttimeout())
        return 1

    assert obtain("Made", tmp_path, "made", open_set) == 1
    assert seen == [60.0]
    assert socket.getdefaulttimeout() is None


def test_two_at_once_download_once(tmp_path: Path) -> None:
    downloads, results = [], []

    def open_set(download: bool) -> str:
        if not (tmp_path / "set").exists():
            if not download:
                raise RuntimeError("not found")
            downloads.append(1)
            time.sleep(0.2)
            (tmp_path / "set").write_text("whole")
        return (tmp_path / "set").read_text()

    threads = [
        threading.Thread(target=lambda: results.append(obtain("Made", tmp_path, "set", open_set))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["whole"] * 4
    assert len(downloads) == 1


def test_a_set_that_may_not_be_read_is_not_downloaded(tmp_path: Path) -> None:
    def open_set(download: bool) -> int:
        assert not download
        raise PermissionError(13, "Permission denied")

    with pytest.raises(UserError, match=r"cannot read Made .*: Permission denied"):
        obtain("Made", tmp_path, "made", open_set)
