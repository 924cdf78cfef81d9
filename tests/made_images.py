"""Tiny image files and data sets in the formats of the real ones."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8 values."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save_image(path: Path, size: tuple[int, int] = (8, 8), mode: str = "RGB", seed: int = 0) -> np.ndarray:
    """A file of noise, (width, height); returns what was saved, [H, W] or [H, W, C]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(noise(size[1], size[0], 3, seed=seed)).convert(mode)
    image.save(path)
    return np.asarray(image)


def save_folder(
    root: Path, counts: dict[str, int], size: tuple[int, int] = (8, 8), mode: str = "RGB", suffix: str = ".png"
) -> Path:
    """``counts[folder]`` images in each folder below ``root``, no two alike."""
    for place, (folder, count) in enumerate(sorted(counts.items())):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            save_image(root / folder / f"{number:03}{suffix}", size, mode, seed=100 * place + number)
    return root


def two_classes(root: Path, **options: object) -> Path:
    """An image folder of cats and dogs: three and two to train on, two and one to test on."""
    counts = {"train/cat": 3, "train/dog": 2, "test/cat": 2, "test/dog": 1}
    return save_folder(root, counts, **options)  # type: ignore[arg-type]


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def idx(array: np.ndarray) -> bytes:
    """The idx format of MNIST: uint8 or int32, big-endian."""
    code = {"uint8": 8, "int32": 12}[str(array.dtype)]
    header = struct.pack(f">{array.ndim + 1}I", 256 * code + array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def save_mnist(root: Path, kind: str = "MNIST", compressed: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Raw files of 20 training and 10 test images; returns them by half."""
    raw = root / kind / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    halves = {}
    for half, count in (("train", 20), ("t10k", 10)):
        images, labels = noise(count, 28, 28, seed=count), (np.arange(count) % 10).astype(np.uint8)
        halves[half] = images, labels
        for name, array in ((f"{half}-images-idx3-ubyte", images), (f"{half}-labels-idx1-ubyte", labels)):
            (raw / name).write_bytes(idx(array))
            if compressed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx(array), mtime=0))
    return halves


def save_qmnist(root: Path) -> np.ndarray:
    """Raw files of 20 images a half, whose labels have eight columns; returns the training labels."""
    raw = root / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    labels = np.arange(160, dtype=np.int32).reshape(20, 8)
    labels[:, 0] = (np.arange(20) * 3) % 10
    for half in ("train", "test"):
        (raw / f"qmnist-{half}-images-idx3-ubyte").write_bytes(idx(noise(20, 28, 28, seed=len(half))))
        (raw / f"qmnist-{half}-labels-idx2-int").write_bytes(idx(labels))
    return labels


def save_cifar(root: Path, classes: int) -> tuple[np.ndarray, list[int]]:
    """Python batches of CIFAR10 (10 classes, 5 batches) or CIFAR100; returns the training rows and labels."""
    ten = classes == 10
    folder = root / ("cifar-10-batches-py" if ten else "cifar-100-python")
    folder.mkdir(parents=True)
    batches = [f"data_batch_{number}" for number in range(1, 6)] if ten else ["train"]
    rows, labels = noise(classes, 3072), [label % classes for label in range(classes)]
    each = classes // len(batches)
    for number, name in enumerate(batches):
        part = slice(number * each, (number + 1) * each)
        _save_batch(folder / name, rows[part], labels[part], ten)
    _save_batch(folder / ("test_batch" if ten else "test"), rows[:4], labels[:4], ten)
    names = [f"class {label}" for label in range(classes)]
    meta = folder / ("batches.meta" if ten else "meta")
    meta.write_bytes(pickle.dumps({"label_names" if ten else "fine_label_names": names}))
    return rows, labels


def _save_batch(path: Path, rows: np.ndarray, labels: list[int], ten: bool) -> None:
    path.write_bytes(pickle.dumps({"data": rows, "labels" if ten else "fine_labels": labels}))


def save_svhn(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """The two .mat files; returns images [32, 32, 3, n] and labels 1 … 10, of which 10 is the digit 0."""
    images, labels = noise(32, 32, 3, 10), np.arange(1, 11, dtype=np.uint8)[:, None]
    root.mkdir(parents=True, exist_ok=True)
    for half in ("train", "test"):
        scipy.io.savemat(root / f"{half}_32x32.mat", {"X": images, "y": labels})
    return images, labels
