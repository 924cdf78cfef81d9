import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem
from scipy.special import softmax
from scipy.stats import entropy

from methods import select_coreset
from methods.features import Features
from methods.uncertainty import Uncertainty
from utils.errors import UserError

LITERAL = {
    "LeastConfidence": lambda p: 1 - p.max(axis=1),
    "Entropy": lambda p: entropy(p, axis=1),
    "Margin": lambda p: -(np.sort(p, axis=1)[:, -1] - np.sort(p, axis=1)[:, -2]),
}


def of_probabilities(*rows):
    p = torch.tensor(rows, dtype=torch.float64)
    return Features.of(torch.zeros(len(p), 1).double(), p.log(), torch.zeros(len(p)).long())


@pytest.mark.parametrize(
    ("uncertainty", "expected"), [("LeastConfidence", [1, 0, 2]), ("Entropy", [1, 2, 0]), ("Margin", [0, 1, 2])]
)
def test_by_hand(uncertainty, expected):
    features = of_probabilities([0.5, 0.49, 0.01], [0.45, 0.3, 0.25], [0.6, 0.2, 0.2])
    picks = Uncertainty(uncertainty).pick(inputs(features), 3, on_cpu())
    assert picks.indices.tolist() == expected


@pytest.mark.parametrize("uncertainty", LITERAL)
@pytest.mark.parametrize("seed", range(3))
def test_against_the_formula(uncertainty, seed):
    features = problem(n=40, C=5, seed=seed).features
    scores = LITERAL[uncertainty](softmax(features.logits.numpy(), axis=1))
    picks = Uncertainty(uncertainty).pick(inputs(features), 40, on_cpu())
    assert picks.indices.tolist() == np.argsort(-scores).tolist()


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("uncertainty", LITERAL)
def test_fault_the_unsure_come_first_balanced_or_not(uncertainty, balance):
    features = problem(n=40, C=4, scale=2.0).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    coreset = select_coreset("Uncertainty", **values, fraction=0.25, balance=balance, uncertainty=uncertainty)
    scores = LITERAL[uncertainty](softmax(features.logits.numpy(), axis=1))
    for label in np.unique(features.labels) if balance else [None]:
        members = np.arange(40) if label is None else np.flatnonzero(features.labels.numpy() == label)
        picked = np.intersect1d(coreset.indices, members)
        left = np.setdiff1d(members, coreset.indices)
        assert scores[picked].min() > scores[left].max()


@pytest.mark.parametrize("uncertainty", LITERAL)
def test_saturated_outputs_are_still_told_apart(uncertainty):
    """Probabilities whose largest is 1 to rounding: a logit gap of 40, 60 and 50."""
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [50.0, 0.0]], dtype=torch.float64)
    features = Features.of(torch.zeros(3, 1).double(), logits, torch.zeros(3).long())
    assert Uncertainty(uncertainty).pick(inputs(features), 3, on_cpu()).indices.tolist() == [0, 2, 1]


def test_a_single_class_leaves_nothing_to_be_unsure_of():
    features = Features.of(torch.zeros(3, 1).double(), torch.randn(3, 1).double(), torch.zeros(3).long())
    for uncertainty in LITERAL:
        assert Uncertainty(uncertainty).pick(inputs(features), 3, on_cpu()).indices.tolist() == [0, 1, 2]


def test_any_case_is_understood_and_nothing_else():
    assert Uncertainty("margin").uncertainty == "Margin"
    with pytest.raises(UserError, match=r"unknown uncertainty 'Variance'.*LeastConfidence, Entropy, Margin"):
        Uncertainty("Variance")
