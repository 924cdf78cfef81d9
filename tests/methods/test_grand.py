import numpy as np
import pytest
import torch
from method_problems import on_cpu, problem

from methods import select_coreset
from methods.base import SelectionInputs
from methods.features import Features
from methods.grand import GraNd, mean_gradient_norms
from nets.last_layer import probabilities
from utils.errors import UserError


def networks(count):
    """The same samples through several networks: embeddings and last layers differ, labels do not."""
    labels = torch.arange(24) % 3
    return [problem(n=24, seed=seed, labels=labels) for seed in range(count)]


def test_the_score_is_the_mean_norm_of_per_sample_gradients():
    problems = networks(4)
    norms = torch.stack([each.dense_gradients().flatten(1).norm(dim=1) for each in problems])  # [networks, n]
    torch.testing.assert_close(mean_gradient_norms(each.features for each in problems), norms.mean(dim=0))


def test_fault_the_loss_is_plain_cross_entropy_not_that_of_a_second_softmax():
    (given,) = networks(1)
    twice = Features(given.features.embeddings, probabilities(given.features.logits), given.features.labels)
    once, faulty = mean_gradient_norms([given.features]), mean_gradient_norms([twice])
    torch.testing.assert_close(once, given.dense_gradients().flatten(1).norm(dim=1))
    assert once.argsort().tolist() != faulty.argsort().tolist()


def test_the_largest_come_first():
    picks = GraNd().pick(SelectionInputs(torch.zeros(4).long(), scores=torch.tensor([1.0, 4, 2, 4])), 3, on_cpu())
    assert picks.indices.tolist() == [1, 3, 2]


def test_no_network_is_an_error():
    with pytest.raises(ValueError, match="no network"):
        mean_gradient_norms([])


def test_a_call_without_scores_says_what_is_missing():
    with pytest.raises(UserError, match="GraNd needs the gradient norms of several"):
        select_coreset("GraNd", labels=np.zeros(3, dtype=int), fraction=1.0)
