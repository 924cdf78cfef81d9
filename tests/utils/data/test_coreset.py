"""The coreset as a value: it validates itself, stays as it is, and travels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods import Coreset, select_coreset
from utils.data.fingerprint import Contents
from utils.data.origin import Origin
from utils.errors import UserError


@pytest.mark.parametrize(
    ("indices", "weights", "said"),
    [
        ([0, 1, 1], None, "unique"),
        ([-1, 2], None, "start at 0"),
        ([0.5, 1.0], None, "integers"),
        ([[0, 1]], None, "one row"),
        ([0, 1], [1.0], "one for each"),
        ([0, 1], [1.0, -1.0], "non-negative"),
        ([0, 1], [1.0, np.inf], "finite"),
    ],
)
def test_what_is_no_coreset_is_refused(indices, weights, said):
    with pytest.raises(UserError, match=said):
        Coreset(np.array(indices), None if weights is None else np.array(weights))


def test_it_is_immutable_and_a_copy():
    indices = np.array([3, 1])
    coreset = Coreset(indices, np.array([1, 2]))
    indices[0] = 9
    assert coreset.indices.tolist() == [3, 1]
    assert coreset.indices.dtype == np.int64
    assert coreset.weights.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        coreset.indices[0] = 5
    with pytest.raises(AttributeError):
        coreset.indices = indices


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0]])
def test_saved_and_loaded_it_is_the_same(tmp_path, weights):
    coreset = Coreset(np.array([5, 0, 3]), None if weights is None else np.array(weights))
    coreset.save(tmp_path / "coreset.npz")
    loaded = Coreset.load(tmp_path / "coreset.npz")
    assert np.array_equal(loaded.indices, coreset.indices)
    assert (loaded.weights is None) == (weights is None)
    with np.load(tmp_path / "coreset.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"indices"} | ({"weights"} if weights else set())


def test_every_form_of_input_gives_the_same_and_is_left_alone():
    random = np.random.default_rng(0)
    z, f = random.normal(size=(40, 6)), random.normal(size=(40, 4))
    y = np.arange(40) % 4
    expected = select_coreset("LCMat", embeddings=z, logits=f, labels=y, fraction=0.3).indices
    frozen = z.copy()
    frozen.setflags(write=False)
    forms = [
        (torch.tensor(z), torch.tensor(f), torch.tensor(y, dtype=torch.int32)),
        (frozen, f, y.astype(np.uint8)),
        (z.tolist(), f.tolist(), y.tolist()),
        (np.asfortranarray(z), f[::-1][::-1], y),
        (torch.tensor(z, requires_grad=True), torch.tensor(f), y),
    ]
    for embeddings, logits, labels in forms:
        found = select_coreset("LCMat", embeddings=embeddings, logits=logits, labels=labels, fraction=0.3)
        assert np.array_equal(found.indices, expected)
    assert np.array_equal(frozen, z)
    half = select_coreset("lcmat", embeddings=z.astype(np.float16), logits=f.astype(np.float16), labels=y, fraction=0.3)
    assert len(half) == len(expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embeddings": np.full((6, 2), np.nan)}, "NaN"),
        ({"logits": np.full((6, 2), np.inf)}, "NaN or infinite"),
        ({"labels": np.zeros(5, dtype=int)}, "differ in length"),
        ({"labels": np.full(6, 2)}, "no logit"),
        ({"labels": np.zeros(6)}, "integers"),
        ({"embeddings": np.zeros((6, 2), dtype=int)}, "floating-point"),
        ({"fraction": 0.0}, "outside"),
        ({"fraction": 0.01}, "smallest that works"),
        ({"budget": 2}, "one of fraction, budget"),
        ({"fraction": None}, "one of fraction, budget"),
        ({"fraction": None, "budget": 7}, "more than there is: 6 samples"),
        ({"fraction": None, "budget": 2.5}, "whole number"),
        ({"fraction": None, "ipc": 4}, "the largest that works is 3"),
        ({"fraction": None, "ipc": 1, "balance": False}, "ipc is about each class"),
        ({"at_least_one": True, "balance": False}, "at_least_one is about each class"),
        ({"method": "LCMap"}, "LCMat"),
        ({"epsilon": 1.0}, "no option 'epsilon'"),
        ({"eps": -1.0}, "eps"),
        ({"num_dims": 0}, "num_dims"),
        ({"greedy": "Quick"}, "LazyGreedy"),
        ({"embeddings": np.full((6, 2), 1e200)}, "too large"),
        ({"method": "Forgetting"}, "training trace"),
    ],
)
def test_bad_input_gets_one_clear_line(changes, said):
    given = {"method": "LCMat", "embeddings": np.ones((6, 2)), "logits": np.eye(6, 2), "labels": np.arange(6) % 2}
    call = {"fraction": 0.5, **given, **changes}
    with pytest.raises(UserError, match=said) as caught:
        select_coreset(call.pop("method"), **call)
    assert "\n" not in str(caught.value)


def test_labels_may_leave_numbers_out():
    random = np.random.default_rng(1)
    y = np.array([0] * 10 + [7] * 10)
    coreset = select_coreset(
        "LCMat", embeddings=random.normal(size=(20, 3)), logits=random.normal(size=(20, 9)), labels=y, fraction=0.2
    )
    assert np.bincount(y[coreset.indices], minlength=8).tolist() == [2, 0, 0, 0, 0, 0, 0, 2]


NAMES = ("cat", "dog")
NAMED = Contents("5-a", NAMES, np.array([0, 0, 0, 1, 1]), ("cat/a", "cat/b", "cat/c", "dog/a", "dog/\udcff"))


def test_what_its_indices_stand_for_goes_with_it(tmp_path):
    indices = np.array([4, 0, 3])
    named = Coreset(indices, origin=Origin.of(NAMED, indices))
    named.save(tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"indices", "train_images", "class_names", "labels", "files"}
    for coreset in (named.at(np.array([0, 2])), Coreset.load(tmp_path / "c.npz").at(np.array([0, 2]))):
        assert coreset.train_images == "5-a"
        assert coreset.origin.classes == ["dog", "dog"]
        assert coreset.origin.files.tolist() == ["dog/\udcff", "dog/a"]
    assert named.digest() == Coreset(indices).digest()  # names of runs do not depend on it


def test_renumbered_picks_have_no_names_until_they_are_given_some():
    indices = np.array([0, 1])
    named = Coreset(indices, origin=Origin.of(NAMED, indices))
    assert named.mapped(np.array([7, 8])).origin is None
    assert Coreset.concatenated([named]).origin is None


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.array([0])},
        {"labels": np.array([0, 2])},
        {"labels": np.array([0.0, 1.0])},
        {"files": np.array("a")},
    ],
)
def test_names_that_are_not_of_the_picks_are_refused(tmp_path, change):
    arrays = Origin.of(NAMED, np.array([0, 4])).arrays() | change
    np.savez(tmp_path / "c.npz", indices=np.array([0, 4]), **arrays)
    with pytest.raises(UserError, match=r"c\.npz: its labels, class names and files are not those of 2 picks"):
        Coreset.load(tmp_path / "c.npz")
    del arrays["class_names"]
    np.savez(tmp_path / "c.npz", indices=np.array([0, 4]), **arrays)
    with pytest.raises(UserError, match=r"c\.npz: it names its training images, but has no array 'class_names'"):
        Coreset.load(tmp_path / "c.npz")


def test_weights_that_are_all_zero_are_refused_for_training(tiny_data):
    with pytest.raises(UserError, match="every weight of the coreset is 0"):
        Coreset(np.array([1, 2]), np.zeros(2)).training_set(tiny_data)
    assert len(Coreset(np.array([1, 2]), np.array([0.0, 1.0])).training_set(tiny_data)) == 2
