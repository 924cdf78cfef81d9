import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, one_class, problem

from methods import select_coreset
from methods.craig import Craig
from methods.features import Features
from nets.last_layer import probabilities
from utils.errors import UserError


def literal(gradients, budget):
    """Facility location over max d − d by trying everything, and the size of every pick's cluster."""
    d = torch.cdist(gradients, gradients, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    similarity, picked = d.max() - d, []
    while len(picked) < budget:
        left = [i for i in range(len(d)) if i not in picked]
        picked.append(max(left, key=lambda i: similarity[:, [*picked, i]].max(axis=1).sum()))
    nearest = d[:, picked].argmin(axis=1)
    return picked, [int((nearest == position).sum()) for position in range(budget)]


@pytest.mark.parametrize("greedy", ["NaiveGreedy", "LazyGreedy"])
@pytest.mark.parametrize("seed", range(3))
def test_against_a_literal_greedy_of_dense_gradients(greedy, seed):
    given = problem(n=60, seed=seed)
    features = one_class(given.features)
    picks = Craig(greedy=greedy).pick(inputs(features), 6, on_cpu())
    expected, weights = literal(given.dense_gradients(features).flatten(1), 6)
    assert picks.indices.tolist() == expected
    assert picks.weights.tolist() == weights


@pytest.mark.parametrize("balance", [True, False])
def test_fault_weights_are_cluster_sizes_and_not_one_more(balance):
    features = problem(n=60).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    coreset = select_coreset("Craig", **values, fraction=0.2, balance=balance)
    assert coreset.weights.min() >= 1
    assert coreset.weights.sum() == 60
    if balance:
        picked = features.labels.numpy()[coreset.indices]
        for label in range(3):
            assert coreset.weights[picked == label].sum() == int((features.labels == label).sum())


def test_fault_the_loss_is_plain_cross_entropy_not_that_of_a_second_softmax():
    given = problem(n=40, scale=2.0)
    twice = Features(given.features.embeddings, probabilities(given.features.logits), given.features.labels)
    once, faulty = (Craig().pick(inputs(each), 8, on_cpu()).indices.tolist() for each in (given.features, twice))
    assert once == literal(given.dense_gradients().flatten(1), 8)[0]
    assert once != faulty


def test_weights_are_no_option():
    features = problem().features
    with pytest.raises(UserError, match="Craig has no option 'weighted'; it takes greedy"):
        select_coreset(
            "Craig",
            embeddings=features.embeddings,
            logits=features.logits,
            labels=np.asarray(features.labels),
            fraction=0.2,
            weighted=False,
        )


def test_weights_depend_on_the_size():
    assert not Craig().nested
