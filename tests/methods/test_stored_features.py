"""Selection from features that stay in files, of which no more is read than is looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from method_problems import problem

from benchmarks.measure import measured
from methods import METHODS, select_coreset
from methods.base import FEATURES
from utils.errors import UserError

BY_FEATURES = [name for name, method in METHODS.items() if method().looks_at_features and name != "D2"]


def mapped(array, path):
    """The array in a file, memory-mapped."""
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def stored(features, folder):
    values = (features.embeddings, features.logits, features.labels)
    names = ("embeddings", "logits", "labels")
    return {name: mapped(each.numpy(), folder / f"{name}.npy") for name, each in zip(names, values, strict=True)}


@pytest.mark.parametrize("balance", [True, False], ids=["balanced", "unbalanced"])
@pytest.mark.parametrize("name", BY_FEATURES)
def test_picks_are_those_from_memory(name, balance, tmp_path):
    features = problem(n=47).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    options = {"fraction": 0.2, "balance": balance, "seed": 1, "temperature": 1.7}
    held, read = (select_coreset(name, **each, **options) for each in (values, stored(features, tmp_path)))
    assert read.indices.tolist() == held.indices.tolist()
    np.testing.assert_array_equal(*([] if each.weights is None else each.weights for each in (held, read)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, "auto"])
def test_the_temperature_acts_on_what_is_read(temperature, tmp_path):
    features = problem(n=60, scale=3.0).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    options = {"fraction": 0.2, "temperature": temperature, "partitions": 2}
    held, read = (select_coreset("LCMat", **each, **options) for each in (values, stored(features, tmp_path)))
    assert read.indices.tolist() == held.indices.tolist()
    assert read.partitioned == held.partitioned


@pytest.mark.parametrize("name", [name for name in BY_FEATURES if METHODS[name].need != FEATURES])
def test_a_part_that_is_not_needed_need_not_be_there(name, tmp_path):
    features = problem(n=47).features
    part = METHODS[name].need[0].value
    matrix = mapped(getattr(features, part).numpy(), tmp_path / "part.npy")
    held, read = (
        select_coreset(name, **{part: each}, labels=features.labels, fraction=0.2)
        for each in (getattr(features, part), matrix)
    )
    assert read.indices.tolist() == held.indices.tolist()
    with pytest.raises(UserError, match=r"LCMat needs \w+; none were given"):
        select_coreset("LCMat", **{part: matrix}, labels=features.labels, fraction=0.2)


def test_only_one_of_them_need_be_mapped(tmp_path):
    features = problem(n=47).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    z = mapped(features.embeddings.numpy(), tmp_path / "z.npy")
    held, read = (select_coreset("Craig", **each, fraction=0.2) for each in (values, {**values, "embeddings": z}))
    assert read.indices.tolist() == held.indices.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embeddings": np.nan}, "embeddings hold NaN or infinite values, the first in sample 40"),
        ({"logits": np.inf}, "logits hold NaN or infinite values, the first in sample 40"),
    ],
    ids=["NaN", "infinite"],
)
def test_what_is_not_finite_is_refused_wherever_it_is(change, said, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.rows._AT_ONCE", 20)
    features = problem(n=47).features
    for name, value in change.items():
        getattr(features, name)[40, 1] = value
    with pytest.raises(UserError, match=said):
        select_coreset("LCMat", **stored(features, tmp_path), fraction=0.2)


def test_lengths_and_probabilities_are_looked_at_too(tmp_path):
    features = problem(n=47).features
    given = stored(features, tmp_path)
    with pytest.raises(UserError, match="differ in length: 47, 47 and 46 samples"):
        select_coreset("LCMat", **{**given, "labels": features.labels[:-1]}, fraction=0.2)
    p = mapped(features.logits.softmax(dim=1).numpy(), tmp_path / "p.npy")
    with pytest.raises(UserError, match="these are probabilities"):
        select_coreset("LCMat", **{**given, "logits": p}, fraction=0.2)
    with pytest.raises(UserError, match=r"temperature 1e-310 is too small: the logits overflow"):
        select_coreset("LCMat", **given, fraction=0.2, temperature=1e-310)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Embeddings of 123 MB in a file, logits and labels of 120 classes; the labels of one class."""
    folder, n, random = tmp_path_factory.mktemp("large"), 60_000, np.random.default_rng(0)
    z = np.lib.format.open_memmap(folder / "z.npy", mode="w+", dtype=np.float32, shape=(n, 512))
    for start in range(0, n, 10_000):
        z[start : start + 10_000] = random.random((10_000, 512), dtype=np.float32)
    z.flush()
    del z
    labels = np.arange(n) % 120
    f = mapped(random.normal(size=(n, 120)).astype(np.float32), folder / "f.npy")
    return {"embeddings": np.load(folder / "z.npy", mmap_mode="r"), "logits": f, "labels": labels}


@pytest.mark.parametrize(("method", "partitions", "labels"), [("LCMat", 1, "many"), ("Craig", 120, "one")])
def test_memory_does_not_grow_with_the_file(method, partitions, labels, large, monkeypatch):
    monkeypatch.setattr("methods.partitions._GROUND", 2500)  # as small beside n as its 50,000 are beside millions
    monkeypatch.setattr("methods.partitions._SEEN", 2500)
    values = {**large, "labels": large["labels"] if labels == "many" else np.zeros(60_000, dtype=int)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few = {name: each[:240] for name, each in values.items()}
    select_coreset(method, **few, ipc=2, partitions=partitions, temperature=2)  # what is loaded at first is no growth
    found = measured(
        lambda: select_coreset(method, **values, ipc=2, partitions=partitions, memory_budget=20_000_000, temperature=2)
    )
    torch.set_num_threads(threads)
    assert len(found.result) == 2 * len(np.unique(values["labels"]))
    assert found.peak_bytes < 100e6, "embeddings and logits are 152 MB"
