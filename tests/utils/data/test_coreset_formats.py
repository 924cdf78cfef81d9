"""Coresets from elsewhere: one selection in every format, masks, exported folders, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from utils.data.coreset import Coreset
from utils.data.coreset_formats import READERS, coreset_file
from utils.data.origin import Origin
from utils.data.small_set import load_small_set
from utils.errors import UserError
from utils.records.contact_sheet import Pictures, write_folder
from utils.records.export import Source, write_indices

PICKS, WEIGHTS = [7, 2, 5], [0.1, 2.0, 0.0]
MASK = [False, True, False, True, False]  # of five images: 1 and 3


def write(path, content) -> None:
    """Save an array or tensor as its ending says, or a text as it is."""
    if isinstance(content, str):
        path.write_text(content)
    elif path.suffix in (".pt", ".pth"):
        torch.save(content, path)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)


@pytest.mark.parametrize(
    ("name", "content", "weights"),
    [
        ("c.npz", {"indices": np.array(PICKS), "weights": np.array(WEIGHTS)}, WEIGHTS),
        ("c.csv", "index,weight\n7,0.1\n2,2\n5,0\n", WEIGHTS),
        ("c.csv", '\ufeffclass,Weight,Index\r\n"a, b",0.1,7\r\nb,2.0,2\r\nc,0,5\r\n', WEIGHTS),
        ("c.csv", "chosen\n7\n2\n5\n", None),
        ("C.CSV", "7\n2\n5\n", None),
        ("c.json", json.dumps(PICKS), None),
        ("c.json", json.dumps({"indices": PICKS, "weights": WEIGHTS}), WEIGHTS),
        ("c.npy", np.array(PICKS, dtype=np.uint8), None),
        ("c.txt", "7\n2.0\n\n5", None),
        ("c.pt", torch.tensor(PICKS), None),
        ("c.pth", {"indices": torch.tensor(PICKS), "weights": torch.tensor(WEIGHTS)}, WEIGHTS),
    ],
)
def test_every_format_gives_the_same_coreset(tmp_path, name, content, weights):
    write(tmp_path / name, content)
    coreset = load_small_set(tmp_path / name)
    assert coreset.indices.tolist() == PICKS
    assert (coreset.weights is None) == (weights is None)
    if weights:
        assert np.array_equal(coreset.weights, np.float32(weights))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.npz", {"indices": np.array(MASK), "weights": np.array([9, 0.5, 9, 4, 9])}),
        ("m.csv", "selected\n" + "\n".join(map(str, MASK))),
        ("m.json", json.dumps(MASK)),
        ("m.npy", np.array(MASK)),
        ("m.txt", "\n".join(map(str, MASK))),
        ("m.pt", torch.tensor(MASK)),
    ],
)
def test_a_mask_is_read_and_belongs_to_data_of_its_length(tmp_path, name, content):
    write(tmp_path / name, content)
    coreset = load_small_set(tmp_path / name)
    assert coreset.indices.tolist() == [1, 3]
    if name == "m.npz":
        assert coreset.weights.tolist() == [0.5, 4]
    coreset.check_fits(5)
    with pytest.raises(UserError, match="a mask of 5 samples, but the data set has 6"):
        coreset.check_fits(6)


@pytest.mark.parametrize("form", ["npz", "csv", "json"])
def test_what_export_writes_is_read(tmp_path, form):
    write_indices(tmp_path / f"e.{form}", Source(Coreset(np.array(PICKS), np.array(WEIGHTS)), None), form)
    assert load_small_set(tmp_path / f"e.{form}").digest() == Coreset(np.array(PICKS), np.array(WEIGHTS)).digest()


@pytest.mark.parametrize("form", ["npz", "csv", "json"])
def test_what_export_writes_says_of_which_images_it_is(tmp_path, form):
    labels = np.array([0, 1, 0])
    named = Coreset(np.array(PICKS), origin=Origin("9-abc", ("cat", "dog"), labels))
    told = Coreset(np.array(PICKS), made_of="9-abc")
    for name, coreset in (("named", named), ("told", told)):
        write_indices(tmp_path / f"{name}.{form}", Source(coreset, None), form)
        assert load_small_set(tmp_path / f"{name}.{form}").train_images == "9-abc"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.npz", {"indices": np.array(PICKS), "train_images": np.array("9-abc")}),
        ("c.csv", "index,train_images\n7,9-abc\n2,\n5,9-abc\n"),
        ("c.json", json.dumps({"indices": PICKS, "train_images": "9-abc"})),
        ("c.pt", {"indices": torch.tensor(PICKS), "train_images": "9-abc"}),
    ],
)
def test_a_file_may_say_of_which_images_it_is_and_no_more(tmp_path, name, content):
    write(tmp_path / name, content)
    coreset = load_small_set(tmp_path / name)
    assert (coreset.indices.tolist(), coreset.train_images, coreset.origin) == (PICKS, "9-abc", None)


def test_an_exported_folder_keeps_order_and_weights(tmp_path):
    pictures = Pictures(("a", "b"), np.arange(9) % 2, images=torch.zeros(9, 1, 4, 4, dtype=torch.uint8))
    coreset = Coreset(np.array(PICKS), np.array(WEIGHTS))
    write_folder(tmp_path / "e", pictures, coreset, link=False, force=False)
    assert load_small_set(coreset_file(tmp_path / "e")).digest() == coreset.digest()
    with pytest.raises(UserError, match=r"no coreset\.npz and no coreset\.csv"):
        coreset_file(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.csv", "a,b\n1,2\n", "no column 'index'.*it holds a, b"),
        ("c.csv", "1,2\n3,4\n", "2 columns without a header"),
        ("c.csv", "index,weight\n1\n", "has 1 cells and the first row 2"),
        ("c.csv", "index,weight\n1,heavy\n", "'heavy' is no number"),
        ("c.csv", "index,train_images\n1,5-a\n2,5-b\n", "rows of several data sets: its train_images are 5-a, 5-b"),
        ("c.csv", "index\n1.5\n", "whole numbers.*'1.5'"),
        ("c.txt", "1\nTrue\n", "'True' is no number"),
        ("c.txt", "1\n1\n", "unique"),
        ("c.json", '{"picks": [1]}', "no 'indices'.*it holds picks"),
        ("c.json", "[[1], [2, 3]]", "c.json: "),
        ("c.json", "7", "one row of integers"),
        ("c.npy", "nonsense", "not a sound npy"),
        ("c.npy", np.array([1.0, 2.0]), "one row of integers"),
        ("c.pt", "nonsense", "no tensors that torch can load"),
    ],
)
def test_what_is_no_coreset_is_refused_in_one_line(tmp_path, name, content, said):
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        write(tmp_path / name, content)
    with pytest.raises(UserError, match=said) as refused:
        load_small_set(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", READERS)
def test_a_missing_file_is_named(tmp_path, ending):
    with pytest.raises(UserError, match=r"cannot read .*none"):
        load_small_set(tmp_path / f"none{ending}")
