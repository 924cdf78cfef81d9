import pytest
import torch
from method_problems import inputs, on_cpu, problem

from methods import select_coreset
from methods.features import Features
from methods.moderate import Moderate


def literal(z, labels, budget):
    """Distances to class means one by one, their lower median, and a sort."""
    means = {y: torch.stack([row for row, own in zip(z, labels, strict=True) if own == y]).mean(dim=0) for y in labels}
    distances = [float((row - means[y]).norm()) for row, y in zip(z, labels, strict=True)]
    median = sorted(distances)[(len(distances) - 1) // 2]
    return sorted(range(len(z)), key=lambda i: (abs(distances[i] - median), i))[:budget]


@pytest.mark.parametrize("seed", range(4))
def test_unbalanced_against_the_definition(seed):
    features = problem(n=31 + seed, seed=seed).features
    picked = Moderate().pick(inputs(features), 12, on_cpu()).indices.tolist()
    assert picked == literal(features.embeddings, features.labels.tolist(), 12)


def test_balanced_each_class_has_its_own_median():
    features = problem(n=45, labels=torch.arange(45) % 3).features
    given = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    picked = select_coreset("Moderate", **given, fraction=0.4).indices.reshape(3, 6)
    for label in range(3):
        own = features.labels == label
        expected = literal(features.embeddings[own], [label] * 15, 6)
        assert picked[label].tolist() == own.nonzero()[:, 0][expected].tolist()


def test_by_hand():
    """Points 0, 1, 2, 6, 11 on a line: mean 4, distances 4, 3, 2, 2, 7, median 3."""
    z = torch.tensor([[0.0], [1.0], [2.0], [6.0], [11.0]], dtype=torch.float64)
    features = Features.of(z, torch.zeros(5, 2, dtype=torch.float64), torch.zeros(5).long())
    assert Moderate().pick(inputs(features), 5, on_cpu()).indices.tolist() == [1, 0, 2, 3, 4]
