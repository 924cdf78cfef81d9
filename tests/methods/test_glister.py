import numpy as np
import pytest
import torch
import torch.nn.functional as F
from method_problems import inputs, on_cpu, one_class, problem

from methods import select_coreset
from methods.features import Features
from methods.glister import Glister
from nets.last_layer import probabilities
from utils.errors import UserError


def literal(given, features, validation, budget, eta):
    """A step of η times the mean of the picks' gradients on a real last layer, v by automatic differentiation."""
    gradients = given.dense_gradients(features)  # [n, C, d + 1]
    proxy = torch.cat([given.bias[:, None], given.weight], dim=1)  # [C, d + 1]
    layer, picked, gains = proxy, [], []
    for _ in range(budget):
        at = layer.clone().requires_grad_()
        loss = F.cross_entropy(validation.embeddings @ at[:, 1:].T + at[:, 0], validation.labels)
        (v,) = torch.autograd.grad(loss, at)
        gain = (gradients * v).sum(dim=(1, 2))
        gain[picked] = -torch.inf
        picked.append(int(gain.argmax()))
        gains.append(float(gain.max()))
        layer = proxy - eta * gradients[picked].mean(dim=0)
    return picked, gains


def held_out_of(given, n=15, seed=7):
    other = problem(n=n, seed=seed).features
    return Features.of(other.embeddings, other.embeddings @ given.weight.T + given.bias, other.labels)


@pytest.mark.parametrize("eta", [0.1, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_against_a_last_layer_that_takes_every_step(seed, eta):
    given = problem(n=40, seed=seed)
    validation = held_out_of(given)
    picks = Glister(eta=eta).pick(inputs(given.features, validation), 40, on_cpu())
    picked, gains = literal(given, given.features, validation, 40, eta)
    assert picks.indices.tolist() == picked
    np.testing.assert_allclose(picks.gains, gains, rtol=1e-7, atol=1e-10)


def test_without_validation_the_training_samples_take_its_place():
    given = problem(n=60)
    features = one_class(given.features)
    picks = Glister(eta=0.5).pick(inputs(features), 8, on_cpu())
    assert picks.indices.tolist() == literal(given, features, features, 8, 0.5)[0]


def test_fault_the_gradient_is_taken_anew_after_every_pick():
    given = problem(n=40)
    picked, _ = literal(given, given.features, given.features, 10, 0.5)
    never_updated, _ = literal(given, given.features, given.features, 10, 0.0)
    assert picked != never_updated
    assert Glister(eta=0.5).pick(inputs(given.features), 10, on_cpu()).indices.tolist() == picked


def test_fault_steps_do_not_add_up_until_nothing_is_left_of_the_validation_gradient():
    """Copies of one sample have one mean gradient, however many are picked, so all but the first gain the same."""
    given = problem(n=40).features
    copies = given.subset(torch.full((30,), 3))
    gains = Glister(eta=0.5).pick(inputs(copies, given), 30, on_cpu()).gains
    assert gains[1] != pytest.approx(gains[0])
    np.testing.assert_allclose(gains[2:], gains[1])


def test_the_step_acts():
    features = problem(n=40).features
    small, large = (Glister(eta=eta).pick(inputs(features), 10, on_cpu()).indices.tolist() for eta in (0.01, 2.0))
    assert small != large


def test_a_pick_lowers_the_validation_loss_most():
    """To first order: of all single steps, that of the first pick leaves the least validation loss."""
    given = problem(n=40)
    validation, gradients = held_out_of(given), given.dense_gradients()
    layer = torch.cat([given.bias[:, None], given.weight], dim=1)
    stepped = layer - 1e-4 * gradients  # [n, C, d + 1]
    logits = torch.einsum("mk,nck->nmc", torch.nn.functional.pad(validation.embeddings, (1, 0), value=1.0), stepped)
    losses = [float(F.cross_entropy(each, validation.labels)) for each in logits]
    first = Glister().pick(inputs(given.features, validation), 1, on_cpu()).indices[0]
    assert first == int(np.argmin(losses))


def test_balanced_validation_samples_of_the_class_count():
    given = problem(n=40)
    validation = held_out_of(given, n=20)
    values = {"embeddings": given.features.embeddings, "logits": given.features.logits, "labels": given.features.labels}
    held_out = (validation.embeddings, validation.logits, validation.labels)
    coreset = select_coreset("Glister", **values, fraction=0.2, validation=held_out, eta=0.3)
    expected = []
    for label in range(3):
        members = (given.features.labels == label).nonzero()[:, 0]
        features = given.features.subset(members)
        picked, _ = literal(given, features, one_class(validation, label), round(0.2 * len(members)), 0.3)
        expected += members[picked].tolist()
    assert coreset.indices.tolist() == expected


def test_a_class_without_validation_samples_stands_for_itself():
    features = one_class(problem(n=40).features)
    nobody = features.subset(torch.zeros(0, dtype=torch.int64))
    assert (
        Glister().pick(inputs(features, nobody), 4, on_cpu()).indices.tolist()
        == Glister().pick(inputs(features), 4, on_cpu()).indices.tolist()
    )


def test_fault_the_loss_is_plain_cross_entropy_not_that_of_a_second_softmax():
    given = problem(n=40, scale=2.0)
    twice = Features(given.features.embeddings, probabilities(given.features.logits), given.features.labels)
    once, faulty = (Glister().pick(inputs(each), 8, on_cpu()).indices.tolist() for each in (given.features, twice))
    assert once == literal(given, given.features, given.features, 8, 0.1)[0]
    assert once != faulty


def test_lazy_and_naive_greedy_agree_and_stochastic_greedy_is_seeded():
    given = inputs(problem(n=60).features)
    naive, lazy = (
        Glister(greedy=greedy).pick(given, 12, on_cpu()).indices.tolist() for greedy in ("NaiveGreedy", "LazyGreedy")
    )
    assert naive == lazy
    stochastic = Glister(greedy="StochasticGreedy")
    by_seed = [stochastic.pick(given, 20, on_cpu(seed)).indices.tolist() for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert all(len(set(picks)) == 20 for picks in by_seed)
    assert not stochastic.nested
    assert Glister().nested


def test_stochastic_greedy_takes_the_best_of_its_sample():
    """60 / 20 · ln 10 = 6.9: seven candidates a pick, so never one of the six worst but for the last picks."""
    given = problem(n=60).features
    gains = Glister(eta=1e-9).pick(inputs(given), 60, on_cpu()).indices.tolist()
    worst = set(gains[-6:])
    for seed in range(5):
        picks = Glister(greedy="StochasticGreedy", eta=1e-9).pick(inputs(given), 20, on_cpu(seed))
        assert picks.indices[0] not in worst


@pytest.mark.parametrize("eta", [0.0, -0.1, float("inf"), float("nan")])
def test_a_step_that_is_none_is_refused(eta):
    with pytest.raises(UserError, match="eta"):
        Glister(eta=eta)


def test_approximate_lazy_greedy_has_no_bounds_to_go_by_and_is_refused():
    with pytest.raises(UserError, match="NaiveGreedy, LazyGreedy, StochasticGreedy"):
        Glister(greedy="ApproximateLazyGreedy")
