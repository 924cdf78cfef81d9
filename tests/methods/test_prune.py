"""A pruned selection is the selection from what is left."""

import numpy as np
import pytest
import torch
from method_problems import problem
from test_all_methods import every_method, inputs

from methods import METHODS, select_coreset
from methods.base import PickSettings, SelectionInputs
from methods.budgets import budgets_for
from methods.prune import Prune
from methods.select import select
from utils.coreset_size import CoresetSize
from utils.errors import UserError
from utils.seeding import derive_seed


def literal(prune, difficulty):
    """Rank by (hardest first, lowest index first) and cut."""
    order = sorted(range(len(difficulty)), key=lambda i: (-difficulty[i], i))
    cut = round(prune.share * len(difficulty))
    return sorted(order[cut:] if prune.end == "hardest" else order[: len(order) - cut])


@pytest.mark.parametrize("prune", [Prune("hardest", 0.3), Prune("easiest", 0.3), Prune("hardest", 0.01)], ids=str)
def test_against_a_literal_cut(prune):
    difficulty = torch.randn(40, generator=torch.Generator().manual_seed(0)).mul(3).round()
    difficulty[7] = torch.inf
    assert prune.kept(difficulty).tolist() == literal(prune, difficulty.tolist())


def test_by_hand():
    difficulty = torch.tensor([3.0, 9.0, 9.0, 1.0, 5.0])
    assert Prune("hardest", 0.4).kept(difficulty).tolist() == [0, 3, 4]
    assert Prune("easiest", 0.4).kept(difficulty).tolist() == [1, 2, 4]
    assert Prune("hardest", 0.2).kept(difficulty).tolist() == [0, 2, 3, 4]  # of equal ones the first is the hardest


@pytest.mark.parametrize(
    "text", ["hardest", "hardest:", "hardest:0", "hardest:1", "middle:0.2", ":0.2", "hardest:x", ""]
)
def test_what_is_no_pruning_is_refused(text):
    with pytest.raises(UserError):
        Prune.read(text)
    with pytest.raises(UserError, match="prune"):
        select_coreset("Uniform", labels=[0, 0, 1, 1], fraction=0.5, scores=[1.0, 2, 3, 4], prune=text)


def test_it_is_written_as_it_is_read():
    assert str(Prune.read("Hardest:0.20")) == "hardest:0.2"


@every_method
def test_balanced_each_class_selects_from_what_is_left_of_it(name, options):
    if name == "Full":
        return
    features = problem(n=60, labels=torch.arange(60) % 3).features
    difficulty = features.embeddings[:, 1]
    given, prune, method = inputs(features, name), Prune("hardest", 0.25), METHODS[name](**options)
    whole = SelectionInputs(
        features.labels,
        features if {"embeddings", "logits"} & given.keys() else None,
        None,
        given.get("scores"),
        None,
        difficulty,
    )
    picked = select(method, whole, dict.fromkeys(range(3), 4), prune=prune, seed=5)
    expected = []
    for label in range(3):
        own = (features.labels == label).nonzero()[:, 0]
        own = own[literal(prune, difficulty[own].tolist())]
        settings = PickSettings(derive_seed(5, "class", label), torch.device("cpu"))
        expected.append(own.numpy()[method.pick(whole.subset(own), 4, settings).indices])
    assert picked.indices.tolist() == np.concatenate(expected).tolist()


def test_unbalanced_the_hardest_of_all_are_left_out():
    labels, difficulty = torch.arange(20) % 2, torch.arange(20.0)
    coreset = select_coreset(
        "Uniform", labels=labels, fraction=0.75, balance=False, scores=difficulty, prune="hardest:0.25"
    )
    assert sorted(coreset.indices) == list(range(15))


def test_low_margins_are_hard():
    """AUM's scores are margins: the hardest are the lowest, for its own rank and for pruning."""
    coreset = select_coreset("AUM", labels=[0] * 5, scores=[4.0, 1, 0, 3, 2], fraction=0.4, prune="hardest:0.4")
    assert coreset.indices.tolist() == [4, 3]


def test_a_fraction_of_more_than_is_left_is_refused_up_front():
    labels, size = torch.tensor([0] * 10 + [1] * 4), CoresetSize("fraction", 0.7)
    assert budgets_for(labels, size, True, prune=Prune("hardest", 0.25)) == {0: 7, 1: 3}
    with pytest.raises(
        UserError, match=r"prune hardest:0.5 leaves 5 of 10 samples of class 0, fewer than fraction 0.7"
    ):
        budgets_for(labels, size, True, prune=Prune("hardest", 0.5))
    with pytest.raises(UserError, match="leaves 7 of 14 samples, fewer"):
        budgets_for(labels, size, False, prune=Prune("hardest", 0.5))


def test_without_scores_it_says_what_is_missing():
    with pytest.raises(UserError, match=r"prune hardest:0.2 needs scores of how hard"):
        select_coreset("Uniform", labels=[0] * 10, fraction=0.5, prune="hardest:0.2")
