"""Matrices whose rows are read when they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.rows import Rows


@pytest.fixture
def shards(tmp_path):
    """A function that writes a matrix in files of so many rows each."""

    def write(matrix, *sizes):
        paths = []
        for number, part in enumerate(np.split(matrix, np.cumsum(sizes)[:-1])):
            paths.append(tmp_path / f"rows-{number}.npy")
            np.save(paths[-1], part)
        return paths

    return write


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_rows_of_files_are_those_of_the_matrix(dtype, at_once, shards, monkeypatch):
    monkeypatch.setattr("utils.rows._AT_ONCE", at_once)
    matrix = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)
    rows = Rows(shards(matrix, 9, 0, 1, 10))
    held = torch.tensor(matrix.astype(np.float64 if dtype == np.float64 else np.float32))
    assert (len(rows), rows.shape, rows.dtype) == (20, (20, 3), held.dtype)
    for indices in ([], [3], [19, 0, 9, 8, 10, 10], range(20)):
        wanted = torch.tensor(list(indices), dtype=torch.int64)
        assert torch.equal(rows.read(wanted), held[wanted])
    assert torch.equal(torch.cat(list(rows.blocks())), held)


def test_mapped_and_held_arrays_are_shards_too(shards):
    matrix = np.arange(12.0).reshape(6, 2)
    (path,) = shards(matrix, 6)
    mapped = np.load(path, mmap_mode="r")
    rows = Rows([mapped, mapped[2:4], matrix])
    everything = torch.arange(len(rows))
    for _ in range(2):
        assert torch.equal(rows.read(everything), torch.tensor(np.concatenate([matrix, matrix[2:4], matrix])))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ([np.zeros(3)], r"is a matrix of floating-point numbers, not float64 \[3\]"),
        ([np.zeros((3, 2), dtype=int)], "is a matrix of floating-point numbers, not int64"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], r"of one dtype and width; found float64 \[n, 1\], float64 \[n, 2\]"),
        ([np.zeros((3, 2)), np.zeros((3, 2), np.float32)], "of one dtype and width; found"),
        ([], "of one dtype and width; found none"),
    ],
    ids=["a row", "integers", "widths", "dtypes", "nothing"],
)
def test_shards_that_are_no_matrix_are_refused(arrays, said, tmp_path):
    paths = [tmp_path / f"{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    with pytest.raises(UserError, match=said):
        Rows(paths)


@pytest.mark.parametrize("damage", ["missing", "cut off", "empty", "pickled"])
def test_files_that_are_no_npy_are_refused_in_one_line(damage, shards):
    (path,) = shards(np.zeros((300, 2)), 300)
    if damage == "missing":
        path.unlink()
    elif damage == "pickled":
        np.save(path, np.array([[{}]]), allow_pickle=True)
    else:
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut off" else 0])
    with pytest.raises(UserError, match="cannot read" if damage == "missing" else "not a sound npy file") as caught:
        Rows([path])
    assert "\n" not in str(caught.value)
