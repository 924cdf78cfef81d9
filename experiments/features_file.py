"""Features in a file, to select again with other settings, or from another network's embeddings and logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.feature_shards import load_shards
from methods.features import AnyFeatures, Features
from utils.arrays import as_labels
from utils.config import DataConfig
from utils.data.fingerprint import check_made_of
from utils.data.load import Data
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.files import read_npz, remove_leftovers, write_npz
from utils.lock import FileLock


def save_features(path: Path, features: Features, data: Data, config: DataConfig) -> None:
    """Write an npz with embeddings [m, d], logits [m, C], labels [m] and indices [m] into ``data.train``.

    Where ``config`` says which the training images are, their fingerprint is written too.
    """
    arrays = {name: getattr(features, name).cpu().numpy() for name in ("embeddings", "logits", "labels")}
    if config.train_images is not None:
        arrays["train_images"] = np.array(config.train_images)
    with FileLock(path.with_suffix(".lock")):
        remove_leftovers(path.parent, path.name)
        write_npz(path, {**arrays, "indices": data.pool.numpy()})


def load_features(
    path: Path, data: Data, config: DataConfig, device: torch.device, world: World = SINGLE_PROCESS
) -> AnyFeatures:
    """Return the features of ``data.pool``: from an npz held, from a folder of shards to be read when asked for.

    It holds labels, and embeddings, logits or both.

    They stand for the training images at its ``indices``; without those, for all of them in order.

    Raises:
        UserError: labels, or both others, are missing; the file does not fit the data set, or is of other images.
    """
    features, indices, train_images = load_shards(path, world) if path.is_dir() else _load_npz(path)
    check_made_of(path, train_images, config)
    return features.subset(rows_of_pool(path, indices, len(features), features.labels, data)).to(device)


def _load_npz(path: Path) -> tuple[Features, Tensor, str | None]:
    """Return features, their indices into the training set, and its fingerprint if known; errors as load_features."""
    arrays = read_npz(path)
    if "labels" not in arrays or arrays.keys().isdisjoint(["embeddings", "logits"]):
        held = ", ".join(arrays) or "nothing"
        raise UserError(f"{path} must hold labels and embeddings, logits or both; it holds {held}")
    try:
        features = Features.of(arrays.get("embeddings"), arrays.get("logits"), arrays["labels"])
        indices = as_labels(arrays["indices"]) if "indices" in arrays else torch.arange(len(features))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return features, indices, str(arrays["train_images"]) if "train_images" in arrays else None


def rows_of_pool(path: Path, indices: Tensor, n: int, labels: Tensor | None, data: Data) -> Tensor:
    """Return which row of a file each image of ``data.pool`` has, int64 [m].

    Args:
        path: the file, for errors.
        indices: int64, of the rows' images in ``data.train``.
        n: how many rows there are.
        labels: int64 [n], or None where the file has none.

    Raises:
        UserError: the rows are not those of this data.
    """
    where = torch.full((len(data.train),), -1)
    if len(indices) != n or (n and int(indices.max()) >= len(where)):
        raise UserError(f"{path} has {n} samples, the training set of {data.spec.name} {len(where)}")
    where[indices] = torch.arange(n)
    rows = where[data.pool]  # [m]
    if bool((rows < 0).any()):
        raise UserError(f"{path} leaves out {int((rows < 0).sum())} of the {len(rows)} images to select from")
    if labels is not None and not torch.equal(labels[rows], data.train.labels[data.pool]):
        raise UserError(f"{path} has other labels than {data.spec.name}: it is of other data, or in another order")
    return rows
