import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, one_class, problem
from scipy.optimize import nnls

from methods import select_coreset
from methods.base import SelectionInputs
from methods.features import Features
from methods.gradmatch import GradMatch, NonNegativeRidge, matching_pursuit, training_weights
from nets.last_layer import probabilities


def literal(atoms, target, budget, ridge):
    """Matching pursuit of ``target`` [D] by rows of ``atoms`` [n, D], by non-negative ridge regression at each step."""
    picked, residual = [], target
    for _ in range(budget):
        strength = atoms @ residual
        strength[picked] = -np.inf
        picked.append(int(strength.argmax()))
        weights = non_negative_ridge(atoms[picked], target, ridge)
        residual = target - weights @ atoms[picked]
    return picked, weights


def by_absolute_values(atoms, target, budget, ridge):
    """The same with weights of either sign, as it was before; the weights are made non-negative only at the end."""
    picked, residual = [], target
    for _ in range(budget):
        strength = np.abs(atoms @ residual)
        strength[picked] = -1
        picked.append(int(strength.argmax()))
        chosen = atoms[picked]
        weights = np.linalg.solve(chosen @ chosen.T + ridge * np.eye(len(picked)), chosen @ target)
        residual = target - weights @ chosen
    return picked, non_negative_ridge(atoms[picked], target, ridge)


def non_negative_ridge(chosen, target, ridge):
    stacked = np.vstack([chosen.T, np.sqrt(ridge) * np.eye(len(chosen))])
    return nnls(stacked, np.concatenate([target, np.zeros(len(chosen))]))[0]


def dense(given, features=None):
    return given.dense_gradients(features).flatten(1).numpy()


@pytest.mark.parametrize("scale", [0.2, 3.0])
@pytest.mark.parametrize("ridge", [1.0, 1e-3])
@pytest.mark.parametrize("seed", range(4))
def test_against_a_literal_pursuit_of_dense_gradients(seed, ridge, scale):
    given = problem(n=40, seed=seed, scale=scale)
    features = one_class(given.features)
    atoms = dense(given, features)
    picked, weights = literal(atoms, atoms.mean(axis=0), 8, ridge)
    gradients = features.gradients()
    pursuit = matching_pursuit(gradients, gradients.mean(), [8], ridge)[0]
    assert pursuit.picks.tolist() == picked
    np.testing.assert_allclose(pursuit.weights, weights, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_fault_a_gradient_that_points_away_is_not_picked_for_its_size(seed):
    """Picks by absolute values waste places on weights of zero, and leave more of the mean gradient unmatched."""
    given = problem(n=120, d=8, C=4, seed=seed)
    atoms = dense(given)
    target, ridge, budget = atoms.mean(axis=0), 1e-3, 30
    gradients = given.features.gradients()
    pursuit = matching_pursuit(gradients, gradients.mean(), [budget], ridge)[0]
    picked, weights = by_absolute_values(atoms, target, budget, ridge)
    error, before = (
        np.linalg.norm(w @ atoms[p] - target) for p, w in ((pursuit.picks, pursuit.weights), (picked, weights))
    )
    assert (pursuit.weights == 0).sum() < (weights == 0).sum()
    assert error < before


@pytest.mark.parametrize("ridge", [1.0, 1e-6])
@pytest.mark.parametrize("seed", range(3))
def test_weights_solved_for_one_by_one_are_those_solved_for_at_once(seed, ridge):
    """Of gradients in any order, so that weights fall to zero and rise again on the way."""
    atoms = torch.randn(40, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    target = atoms[:20].mean(dim=0)
    products, gram = atoms @ target, atoms @ atoms.T
    weights = NonNegativeRidge(40, ridge, torch.tensor(1e-12, dtype=torch.float64))
    fell = 0
    for t in range(40):
        before = weights.values > 0
        weights.add(gram[t, :t], gram[t, t], products[t])
        fell += int((before & (weights.values == 0)).sum())
        expected = non_negative_ridge(atoms[: t + 1].numpy(), target.numpy(), ridge)
        np.testing.assert_allclose(weights.values[: t + 1], expected, rtol=1e-6, atol=1e-8)
    assert fell > 0


def test_weights_are_in_the_proportions_of_the_non_negative_solution_and_sum_to_the_samples():
    given = problem(n=40, scale=0.2)
    features = one_class(given.features)
    atoms = dense(given, features)
    picked, solution = literal(atoms, atoms.mean(axis=0), 5, ridge=1.0)
    assert (solution > 0).all()
    picks = GradMatch().pick(inputs(features), 5, on_cpu())
    assert picks.indices.tolist() == picked
    np.testing.assert_allclose(picks.weights, solution / solution.sum() * len(features), rtol=1e-6)


def test_picks_whose_weight_is_zero_keep_their_place_and_count_as_the_lightest():
    """Matched to two samples, from which most of the others point away."""
    given = problem(n=60, C=4)
    held_out = given.features.subset(torch.arange(2))
    atoms = dense(given)
    picked, solution = literal(atoms, atoms[:2].mean(axis=0), 45, ridge=1.0)
    matched = solution > 0
    assert 0 < matched.sum() < 45
    picks = GradMatch().pick(inputs(given.features, held_out), 45, on_cpu())
    assert picks.indices.tolist() == picked
    np.testing.assert_allclose(picks.weights[~matched], picks.weights[matched].min())
    in_proportion = picks.weights[matched] / picks.weights[matched].sum()
    np.testing.assert_allclose(in_proportion, solution[matched] / solution.sum(), rtol=1e-5)
    assert picks.weights.sum() == pytest.approx(60, rel=1e-6)


def test_weights_that_are_all_zero_become_equal():
    assert training_weights(np.zeros(4), 10).tolist() == [2.5] * 4


def test_the_ridge_is_one():
    """One sample of gradient g, matched to itself: w = ‖g‖² / (‖g‖² + 1)."""
    given = problem(n=6)
    gradients = given.features.subset(torch.tensor([3])).gradients()
    squared = float(gradients.squared_norms()[0])
    pursuit = matching_pursuit(gradients, gradients.mean(), [1], ridge=1.0)[0]
    assert pursuit.weights[0] == pytest.approx(squared / (squared + 1))
    picks = GradMatch().pick(inputs(given.features.subset(torch.tensor([3]))), 1, on_cpu())
    assert (picks.indices.tolist(), picks.weights.tolist()) == ([0], [1.0])


def test_the_target_is_the_validation_gradient_where_there_is_one():
    given, held_out = problem(n=40), problem(n=15, seed=7)
    validation = Features.of(
        held_out.features.embeddings,
        held_out.features.embeddings @ given.weight.T + given.bias,
        held_out.features.labels,
    )
    picked, _ = literal(dense(given), dense(given, validation).mean(axis=0), 6, ridge=1.0)
    with_it = GradMatch().pick(inputs(given.features, validation), 6, on_cpu()).indices.tolist()
    without = GradMatch().pick(inputs(given.features), 6, on_cpu()).indices.tolist()
    assert with_it == picked
    assert with_it != without


def test_balanced_the_target_is_of_the_validation_samples_of_the_class():
    given, held_out = problem(n=40), problem(n=15, seed=7).features
    values = {"embeddings": given.features.embeddings, "logits": given.features.logits, "labels": given.features.labels}
    validation = (held_out.embeddings, held_out.logits, held_out.labels)
    coreset = select_coreset("GradMatch", **values, fraction=0.2, validation=validation)
    expected = []
    for label in range(3):
        members = (given.features.labels == label).nonzero()[:, 0]
        picks = GradMatch().pick(
            inputs(given.features.subset(members), one_class(held_out, label)),
            round(0.2 * len(members)),
            on_cpu(),
        )
        expected += members[torch.tensor(picks.indices)].tolist()
    assert coreset.indices.tolist() == expected


def test_a_class_without_validation_samples_is_matched_to_its_own_mean():
    features = one_class(problem(n=40).features)
    nobody = features.subset(torch.zeros(0, dtype=torch.int64))
    assert (
        GradMatch().pick(inputs(features, nobody), 4, on_cpu()).indices.tolist()
        == GradMatch().pick(inputs(features), 4, on_cpu()).indices.tolist()
    )


def test_fault_the_loss_is_plain_cross_entropy_not_that_of_a_second_softmax():
    given = problem(n=40, scale=2.0)
    twice = Features(given.features.embeddings, probabilities(given.features.logits), given.features.labels)
    once, faulty = (GradMatch().pick(inputs(each), 8, on_cpu()).indices.tolist() for each in (given.features, twice))
    atoms = dense(given)
    assert once == literal(atoms, atoms.mean(axis=0), 8, ridge=1.0)[0]
    assert once != faulty


def test_samples_without_a_gradient_can_fill_the_budget():
    logits = torch.tensor([[900.0, 0.0], [900.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    features = Features.of(torch.ones(3, 2).double(), logits, torch.zeros(3).long())
    picks = GradMatch().pick(SelectionInputs(features.labels, features), 3, on_cpu())
    assert picks.indices.tolist() == [2, 0, 1]
    np.testing.assert_allclose(picks.weights, 1.0)


def test_weights_depend_on_the_size():
    assert not GradMatch().nested
