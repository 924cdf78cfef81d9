"""Features larger than memory: a folder of npy files, written a part at a time and read memory-mapped.

``embeddings-00000.npy`` [m, d], ``logits-00000.npy`` [m, C], ``labels-00000.npy`` and ``indices-00000.npy`` [m], and so
on; the files of each kind one after another stand for all samples. Without indices these are the training set in its
order. ``features.json`` is written last, with the SHA-256 of every file and the fingerprint of the images.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from methods.features import Features, StoredFeatures
from utils.arrays import as_labels
from utils.distributed import World
from utils.errors import UserError
from utils.files import content_digest, read_json, write_json
from utils.rows import Rows, open_array

_MANIFEST = "features.json"
_KINDS = ("embeddings", "logits", "labels", "indices")
_CHUNK = 1 << 24


class ShardWriter:
    """Writes a folder of features part by part; it is there once ``finish`` was called, and not before.

    Ranks that share the parts out have copies of one writer, and one of them finishes with what all have written. The
    caller sees to it that nobody else writes the folder.

    Args:
        folder: what to write; an earlier one of this writer is replaced.
        train_images: the fingerprint of the images, where it is known.
    """

    def __init__(self, folder: Path, train_images: str | None) -> None:
        self.folder, self.train_images = folder, train_images
        self.unfinished = folder.with_name(f".{folder.name}.unfinished")
        self.digests: dict[str, str] = {}  # of the files written
        if folder.exists() and not (folder / _MANIFEST).exists():
            raise UserError(f"{folder} exists and holds no features; name another folder")
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def add(self, number: int, features: Features, indices: Tensor) -> None:
        """Write the features of the samples at ``indices`` (int64 [m]) of the training set as shard ``number``."""
        values = (features.embeddings, features.logits, features.labels, indices)
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            for kind, tensor in zip(_KINDS, values, strict=True):
                path = self.unfinished / f"{kind}-{number:05d}.npy"
                with path.open("wb") as file:
                    np.save(file, tensor.cpu().numpy(), allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
                self.digests[path.name] = file_digest(path)
        except OSError as error:
            raise UserError(f"cannot write {self.unfinished}: {error.strerror or error}") from error

    def finish(self, digests: Mapping[str, str]) -> None:
        """Write the manifest, with the ``digests`` of all files, and give the folder its name."""
        write_json(self.unfinished / _MANIFEST, {"train_images": self.train_images, "sha256": dict(digests)})
        shutil.rmtree(self.folder, ignore_errors=True)
        self.unfinished.replace(self.folder)


def load_shards(folder: Path, world: World) -> tuple[StoredFeatures, Tensor, str | None]:
    """Return features that are read when asked for, their indices into the training set, and its fingerprint if known.

    Rank 0 looks for damage for all.

    Raises:
        UserError: a kind of file is missing, is damaged, or does not fit the others.
    """
    manifest = world.on_rank_zero(_checked_manifest, folder)
    files = {kind: sorted(folder.glob(f"{kind}*.npy")) for kind in _KINDS}
    if not files["labels"] or not (files["embeddings"] or files["logits"]):
        raise UserError(f"{folder} must hold labels*.npy and embeddings*.npy, logits*.npy or both")
    try:
        labels = _joined(files["labels"])
        z, f = (Rows(files[part]) if files[part] else None for part in ("embeddings", "logits"))
        features = StoredFeatures.of(z, f, labels, world)
        indices = as_labels(_joined(files["indices"])) if files["indices"] else torch.arange(len(features))
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    return features, indices, manifest.get("train_images")


def features_digest(path: Path) -> str:
    """Return 16 hex digits that change with the features in a file, or in a folder of shards.

    Raises:
        UserError: a file cannot be read.
    """
    return _folder_digest(path) if path.is_dir() else content_digest(path)


def _folder_digest(folder: Path) -> str:
    manifest = folder / _MANIFEST
    if manifest.exists():
        return file_digest(manifest)[:16]
    files = sorted(path for kind in _KINDS for path in folder.glob(f"{kind}*.npy"))
    return hashlib.sha256("".join(f"{path.name} {file_digest(path)}\n" for path in files).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in chunks.

    Raises:
        UserError: it cannot be read.
    """
    checksum = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                checksum.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return checksum.hexdigest()


def _checked_manifest(folder: Path) -> Mapping[str, str | None]:
    """Return what the manifest says beside checksums, nothing where there is none. Raises UserError on damage."""
    path = folder / _MANIFEST
    if not path.exists():
        return {}
    manifest = read_json(path)
    try:
        digests = dict(manifest["sha256"])
        found = {"train_images": manifest["train_images"]}
    except (TypeError, ValueError, LookupError) as error:
        raise UserError(f"{path} is no list of features: {error}") from error
    for name, digest in digests.items():
        if file_digest(folder / name) != digest:
            raise UserError(f"{folder / name} is damaged: its checksum does not match")
    return found


def _joined(paths: list[Path]) -> np.ndarray:
    return np.concatenate([open_array(path) for path in paths])
