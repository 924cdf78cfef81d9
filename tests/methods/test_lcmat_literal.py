"""LCMat-S against its literal definition, and the closed forms against BackPACK and torch.func."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from backpack import backpack, extend
from backpack.extensions import BatchDiagHessian, BatchGrad
from torch import nn

from methods import select_coreset
from methods.features import Features
from methods.greedy.distances import CurvatureDistance
from methods.greedy.pairwise_matrix import PairwiseMatrix
from nets.last_layer import augment, hessian_coordinates, residuals


def problem(seed: int, n: int, d: int, classes: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random embeddings, logits and labels, all of one class label, float64."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, d)) * scale
    f = random.normal(size=(n, classes)) * random.choice([0.1, 1.0, 10.0])
    return z, f, np.full(n, int(random.integers(classes)))


def library_picks(z: np.ndarray, f: np.ndarray, y: np.ndarray, budget: int, **options: object) -> list[int]:
    coreset = select_coreset(
        "LCMat", embeddings=z, logits=f, labels=y, fraction=budget / len(y), eps=0.01, balance=False, **options
    )
    return coreset.indices.tolist()


PROBLEMS = {
    "ordinary": (12, 30, 5, 4, 1.0),
    "distances far above 10": (1, 30, 6, 3, 40.0),
    "tiny distances": (2, 30, 6, 3, 1e-3),
    "two classes": (3, 25, 4, 2, 1.0),
    "a hundred classes": (4, 20, 3, 100, 1.0),
    "one sample": (5, 1, 4, 3, 1.0),
    "two samples": (6, 2, 4, 3, 1.0),
}


@pytest.mark.parametrize("greedy", ["NaiveGreedy", "LazyGreedy"])
@pytest.mark.parametrize("memory_budget", [None, 1], ids=["held", "on demand"])
@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_picks_are_the_literal_ones(name, duplicates, memory_budget, greedy):
    z, f, y = problem(*PROBLEMS[name])
    n = len(y)
    if duplicates and n > 4:
        z[1], f[1] = z[0], f[0]
        z[-1], f[-1] = z[2], f[2]
    g, h = literal.dense_derivatives(z, f, y)
    matrix = literal.distances(g, h, 0.01, 7)
    for budget in {max(1, n // 3), n}:
        expected = literal.naive_picks(matrix, budget, matrix.max())
        found = library_picks(z, f, y, budget, num_dims=7, memory_budget=memory_budget, greedy=greedy)
        assert found == expected
        assert literal.naive_picks(matrix, budget, 3 * matrix.max() + 1) == expected, "c is at least max D, whichever"


@pytest.mark.parametrize("name", PROBLEMS)
def test_float32_reaches_the_same_objective(name):
    z, f, y = problem(*PROBLEMS[name])
    g, h = literal.dense_derivatives(z, f, y)
    matrix = literal.distances(g, h, 0.01, 7)
    budget = max(1, len(y) // 3)
    expected = literal.objective(matrix, literal.naive_picks(matrix, budget, matrix.max()))
    picks = library_picks(z.astype(np.float32), f.astype(np.float32), y, budget, num_dims=7)
    assert literal.objective(matrix, picks) == pytest.approx(expected, rel=1e-5)


def test_distances_are_exact_and_zero_between_duplicates():
    z, f, y = problem(0, 40, 6, 5, 30.0)
    z[7], f[7] = z[3], f[3]
    z[9] = z[8] + 1e-9
    f[9] = f[8]
    g, h = literal.dense_derivatives(z, f, y)
    expected = literal.distances(g, h, 0.01, 20)
    found = CurvatureDistance(Features.of(z, f, y), 0.01, 20)
    for memory_budget in (None, 1):
        kept = PairwiseMatrix(found, memory_budget)
        assert (kept.held is None) == (memory_budget == 1)
        matrix = np.stack([kept.row(i).numpy() for i in range(40)])
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)
        assert matrix[3, 7] == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")  # BackPACK still compiles parts of itself
def test_closed_forms_agree_with_backpack_and_torch_func_on_an_uneven_last_batch():
    random = torch.Generator().manual_seed(0)
    z = torch.randn(11, 6, generator=random, dtype=torch.float64)
    y = torch.randint(4, (11,), generator=random)
    layer = nn.Linear(6, 4, dtype=torch.float64)
    f = layer(z).detach()
    g, h = literal.dense_derivatives(z.numpy(), f.numpy(), y.numpy())
    g, h = g.reshape(11, 4, 7), h.reshape(11, 4, 7)

    inputs = z.clone().requires_grad_()  # BackPACK's hooks want something to differentiate
    extended, loss = extend(layer), extend(nn.CrossEntropyLoss(reduction="sum"))
    for batch in torch.arange(11).split(4):  # batches of 4, 4 and 3
        layer.zero_grad()
        with backpack(BatchGrad(), BatchDiagHessian()):
            loss(extended(inputs[batch]), y[batch]).backward()
        np.testing.assert_allclose(g[batch][:, :, 1:], layer.weight.grad_batch.numpy(), atol=1e-14)
        np.testing.assert_allclose(g[batch][:, :, 0], layer.bias.grad_batch.numpy(), atol=1e-14)
        np.testing.assert_allclose(h[batch][:, :, 1:], layer.weight.diag_h_batch.numpy(), atol=1e-14)
        np.testing.assert_allclose(h[batch][:, :, 0], layer.bias.diag_h_batch.numpy(), atol=1e-14)

    def sample_loss(weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy((weight @ x + bias)[None], label[None])

    weight, bias = layer.weight.detach(), layer.bias.detach()
    per_sample = torch.func.vmap(torch.func.grad(sample_loss, argnums=(0, 1)), (None, None, 0, 0))(weight, bias, z, y)
    np.testing.assert_allclose(g[:, :, 1:], per_sample[0].numpy(), atol=1e-14)
    np.testing.assert_allclose(g[:, :, 0], per_sample[1].numpy(), atol=1e-14)
    hessian = torch.func.vmap(torch.func.hessian(sample_loss), (None, None, 0, 0))(weight, bias, z, y)
    diagonal = torch.einsum("nckck->nck", hessian)
    np.testing.assert_allclose(h[:, :, 1:], diagonal.numpy(), atol=1e-14)

    dense = residuals(f, y)[:, :, None] * augment(z)[:, None, :]
    np.testing.assert_allclose(dense.numpy(), g, atol=1e-14)
    top = np.argsort(-h.reshape(11, -1).var(axis=0), kind="stable")[:9]
    found = np.sort(hessian_coordinates(z, f, 9).numpy(), axis=1)
    np.testing.assert_allclose(found, np.sort(h.reshape(11, -1)[:, top], axis=1), atol=1e-14)
