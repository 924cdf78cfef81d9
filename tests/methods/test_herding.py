import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem

from methods import select_coreset
from methods.features import Features
from methods.herding import Herding


def literal(z, budget, best=min):
    mean, total, picked = z.mean(axis=0), np.zeros(z.shape[1]), []
    for t in range(1, budget + 1):
        left = [i for i in range(len(z)) if i not in picked]
        picked.append(best(left, key=lambda i: np.linalg.norm(total + z[i] - t * mean)))
        total = total + z[picked[-1]]
    return picked


def on_a_line(*values):
    z = torch.tensor(values, dtype=torch.float64)[:, None]
    return Features.of(z, torch.zeros(len(z), 2).double(), torch.zeros(len(z)).long())


def test_by_hand():
    # Mean 2: first 2 itself; then 1 and 3 lead equally near to 4, and the lower index wins; then 3 leads to 6.
    picks = Herding().pick(inputs(on_a_line(0, 1, 2, 3, 4)), 3, on_cpu())
    assert picks.indices.tolist() == [2, 1, 3]


@pytest.mark.parametrize("seed", range(4))
def test_against_a_literal_loop(seed):
    features = problem(n=30, d=4, seed=seed).features
    picks = Herding().pick(inputs(features), 30, on_cpu())
    assert picks.indices.tolist() == literal(features.embeddings.numpy(), 30)


def test_fault_the_running_mean_follows_the_mean_it_does_not_flee_it():
    features = problem(n=30, d=4).features
    z = features.embeddings.numpy()
    picked = Herding().pick(inputs(features), 6, on_cpu()).indices
    assert picked.tolist() != literal(z, 6, best=max)
    away = np.linalg.norm(z[picked].mean(axis=0) - z.mean(axis=0))
    assert away < 0.2 * np.linalg.norm(z - z.mean(axis=0), axis=1).mean()


def test_an_offset_common_to_all_embeddings_changes_nothing():
    features = problem(n=30, d=4).features
    shifted = Features.of(features.embeddings + 1e6, features.logits, features.labels)
    assert (
        Herding().pick(inputs(features), 10, on_cpu()).indices.tolist()
        == Herding().pick(inputs(shifted), 10, on_cpu()).indices.tolist()
    )


def test_balanced_herding_follows_the_mean_of_each_class():
    features = problem(n=30, d=4).features
    coreset = select_coreset(
        "Herding", embeddings=features.embeddings, logits=features.logits, labels=features.labels, fraction=0.3
    )
    expected = []
    for label in range(3):
        members = np.flatnonzero(features.labels.numpy() == label)
        expected += members[literal(features.embeddings.numpy()[members], round(0.3 * len(members)))].tolist()
    assert coreset.indices.tolist() == expected
