import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem
from scipy.special import rel_entr, softmax

from methods.contextualdiversity import ContextualDiversity, clamped_probabilities, symmetric_divergence
from methods.features import Features


def literal_divergences(logits):
    p = np.maximum(softmax(logits, axis=1), 1e-12)
    a, b = p[:, None], p[None, :]
    return (rel_entr(a, b).sum(axis=2) + rel_entr(b, a).sum(axis=2)) / 2


@pytest.mark.parametrize("seed", range(4))
def test_against_a_literal_loop(seed):
    features = problem(n=30, C=4, seed=seed).features
    divergences = literal_divergences(features.logits.numpy())
    picked = ContextualDiversity().pick(inputs(features), 20, on_cpu(seed)).indices.tolist()
    for t in range(1, 20):
        left = [i for i in range(30) if i not in picked[:t]]
        assert picked[t] == max(left, key=lambda i: divergences[i][picked[:t]].min())


def test_by_hand():
    a, b = torch.tensor([0.75, 0.25], dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert float(symmetric_divergence(a, b, a.log(), b.log())) == pytest.approx(0.5 * np.log(3))


def test_a_sample_and_its_copy_lie_at_exactly_zero():
    features = problem(n=5).features
    p = clamped_probabilities(features.subset(torch.tensor([0, 1, 1, 2])))
    assert float(symmetric_divergence(p[1], p[2], p[1].log(), p[2].log())) == 0


def test_saturated_outputs_are_clamped_and_finite():
    logits = torch.tensor([[2000.0, 0.0], [0.0, 2000.0], [0.0, 0.0]], dtype=torch.float64)
    features = Features.of(torch.zeros(3, 1).double(), logits, torch.zeros(3).long())
    p = clamped_probabilities(features)
    away = symmetric_divergence(p, p[0], p.log(), p[0].log())
    assert bool(torch.isfinite(away).all())
    assert float(away[1]) == pytest.approx(np.log(1e12), rel=1e-6)
    assert set(ContextualDiversity().pick(inputs(features), 3, on_cpu()).indices) == {0, 1, 2}


def test_logits_decide_and_embeddings_do_not():
    features = problem(n=30).features
    other = Features.of(features.embeddings.flip(0), features.logits, features.labels)
    of_either = [ContextualDiversity().pick(inputs(f), 10, on_cpu()).indices.tolist() for f in (features, other)]
    assert of_either[0] == of_either[1]
