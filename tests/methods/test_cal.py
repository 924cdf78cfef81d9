import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem
from scipy.special import rel_entr, softmax
from sklearn.neighbors import NearestNeighbors

from methods import select_coreset
from methods.base import SelectionInputs
from methods.cal import Cal
from methods.features import Features
from methods.greedy.distances import OuterDistance
from methods.neighbours import neighbours
from utils.errors import UserError


def literal_scores(z, logits, count=10):
    p = np.maximum(softmax(logits, axis=1), 1e-12)
    near = NearestNeighbors(n_neighbors=count).fit(z).kneighbors(return_distance=False)  # leaves out each itself
    return np.array(
        [np.mean([(rel_entr(p[i], p[j]) + rel_entr(p[j], p[i])).sum() / 2 for j in near[i]]) for i in range(len(z))]
    )


def distance_of(z):
    return OuterDistance(torch.ones(len(z), 1, dtype=z.dtype), z, z.dtype)


def neighbours_of(z, count):
    return neighbours(distance_of(z), torch.arange(len(z)), count).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_against_scikit_learns_neighbours(seed):
    features = problem(n=40, seed=seed).features
    scores = literal_scores(features.embeddings.numpy(), features.logits.numpy())
    picks = Cal().pick(inputs(features), 40, on_cpu())
    assert picks.indices.tolist() == np.argsort(-scores).tolist()
    np.testing.assert_allclose(picks.gains, np.sort(scores)[::-1])


def test_fault_the_most_contrastive_come_first():
    """Twelve points in one place of which one is answered differently: it contrasts with all, the others with one."""
    z = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = torch.tensor([3.0, 0.0], dtype=torch.float64).repeat(12, 1)
    logits[7] = torch.tensor([0.0, 3.0])
    features = Features.of(z, logits, torch.zeros(12).long())
    picks = Cal().pick(inputs(features), 1, on_cpu())
    assert picks.indices.tolist() == [7]


def test_unbalanced_neighbours_are_of_all_classes():
    features = problem(n=40).features
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    coreset = select_coreset("Cal", **values, fraction=0.25, balance=False)
    scores = literal_scores(features.embeddings.numpy(), features.logits.numpy())
    assert coreset.indices.tolist() == np.argsort(-scores)[:10].tolist()


def test_a_memory_budget_changes_nothing():
    features = problem(n=40).features
    at_once = Cal().pick(inputs(features), 12, on_cpu())
    row_by_row = Cal().pick(inputs(features), 12, on_cpu(memory_budget=1))
    assert at_once.indices.tolist() == row_by_row.indices.tolist()


def test_the_lowest_index_is_the_nearer_of_two_at_one_distance():
    z = torch.tensor([[0.0], [1.0], [-1.0], [5.0]], dtype=torch.float64)
    assert neighbours_of(z, 1) == [[1], [0], [0], [1]]
    assert neighbours_of(z, 2) == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_a_copy_is_a_neighbour_and_the_sample_itself_is_not():
    z = torch.tensor([[0.0], [0.0], [0.0], [5.0]], dtype=torch.float64)
    assert neighbours_of(z, 2) == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_fewer_than_ten_others_are_all_neighbours():
    features = problem(n=5).features
    scores = literal_scores(features.embeddings.numpy(), features.logits.numpy(), count=4)
    assert Cal().pick(inputs(features), 5, on_cpu()).indices.tolist() == np.argsort(-scores).tolist()


def test_a_sample_alone_is_picked_with_score_zero():
    picks = Cal().pick(inputs(problem(n=4).features.subset(torch.tensor([2]))), 1, on_cpu())
    assert (picks.indices.tolist(), picks.gains.tolist()) == ([0], [0.0])


def test_pretrained_embeddings_give_the_neighbours_and_the_proxy_the_answers():
    features = problem(n=40).features
    pretrained = problem(n=40, d=7, seed=5).features.embeddings
    given = SelectionInputs(features.labels, features, pretrained=pretrained)
    scores = literal_scores(pretrained.numpy(), features.logits.numpy())
    picks = Cal(pretrained=True).pick(given, 8, on_cpu())
    assert picks.indices.tolist() == np.argsort(-scores)[:8].tolist()


def test_pretrained_embeddings_that_were_not_given_are_asked_for():
    with pytest.raises(UserError, match="Cal --pretrained true"):
        Cal(pretrained=True).pick(inputs(problem().features), 3, on_cpu())
