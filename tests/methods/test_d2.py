import math

import numpy as np
import pytest
import torch
from method_problems import on_cpu, problem

from methods.base import SelectionInputs
from methods.d2 import D2, graph
from methods.embedding_method import directions
from methods.features import Features
from methods.score_method import scaled
from utils.errors import UserError


def literal(z, difficulty, budget, k, gamma_f, gamma_r):
    """Message passing over a dictionary of neighbours, one sample at a time."""
    u = [row / np.linalg.norm(row) for row in z]
    away = [[float(np.sum((a - b) ** 2)) for b in u] for a in u]
    near = {
        i: set(sorted((j for j in range(len(u)) if j != i), key=lambda j: (away[i][j], j))[:k]) for i in range(len(u))
    }
    joined = {i: {j for j in range(len(u)) if j in near[i] or i in near[j]} for i in near}
    low, high = min(difficulty), max(difficulty)
    s = [(each - low) / (high - low) for each in difficulty]
    x = [s[i] + sum(math.exp(-gamma_f * away[i][j]) * s[j] for j in joined[i]) for i in near]
    picked = []
    for _ in range(budget):
        best = max((i for i in near if i not in picked), key=lambda i: (x[i], -i))
        picked.append(best)
        for j in joined[best]:
            x[j] -= math.exp(-gamma_r * away[best][j]) * x[best]
    return picked


def picks(z, difficulty, budget, memory_budget=None, **options):
    features = Features.of(z, torch.zeros(len(z), 2, dtype=torch.float64), torch.zeros(len(z)).long())
    inputs = SelectionInputs(features.labels, features, difficulty=torch.as_tensor(difficulty))
    return D2(**options).pick(inputs, budget, on_cpu(memory_budget=memory_budget)).indices.tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [(5, 1.0, 1.0), (3, 0.0, 0.5), (10, 2.0, 0.0), (100, 1.0, 1.0)])
def test_against_literal_messages(seed, options):
    z = problem(n=40, seed=seed).features.embeddings
    difficulty = torch.randn(40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    k, gamma_f, gamma_r = options
    found = picks(z, difficulty, 25, neighbours=k, gamma_f=gamma_f, gamma_r=gamma_r)
    assert found == literal(z.numpy(), difficulty.tolist(), 25, *options)


def test_by_hand():
    """Four directions: a and b alike (distance 0), c and d each at a right angle to all; d is the easiest.

    With one neighbour: a–b, and c, d joined to a (the lowest index at √2). s = 0.9, 1, 0.5, 0 and e⁻² ≈ 0.135:
    x_a = 0.9 + 1 + 0.5 e⁻² ≈ 1.968, x_b = 1.9, x_c = 0.5 + 0.9 e⁻² ≈ 0.622, x_d = 0.9 e⁻² ≈ 0.122. After a,
    x_b = −0.068, x_c ≈ 0.355 and x_d ≈ −0.144, so that c comes next, though b is the hardest of all.
    """
    z = torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    assert picks(z, [0.9, 1.0, 0.5, 0.0], 4, neighbours=1) == [0, 2, 1, 3]


def test_the_graph_is_the_same_in_bands_of_any_size():
    u = directions(problem(n=90, d=4).features.embeddings)
    for budget in (10_000, 200_000):
        for found, expected in zip(graph(u, 7, budget), graph(u, 7, None), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_an_edge_goes_both_ways_and_is_there_once():
    starts, ends, squares = graph(directions(problem(n=30).features.embeddings), 4, None)
    there = {(int(i), int(j)): float(square) for i, j, square in zip(starts, ends, squares, strict=True)}
    assert len(there) == len(starts)
    assert all(there[j, i] == square for (i, j), square in there.items())
    assert starts.tolist() == sorted(starts.tolist())


def test_difficulty_is_scaled():
    assert scaled(torch.tensor([2.0, 4, 3])).tolist() == [0, 1, 0.5]
    assert scaled(torch.tensor([7.0, 7])).tolist() == [0, 0]
    assert scaled(torch.tensor([0.0, 1, torch.inf])).tolist() == [0, 0.5, 1]
    assert scaled(torch.tensor([-torch.inf, torch.inf])).tolist() == [0, 1]
    assert scaled(torch.tensor([-1e308, 1e308], dtype=torch.float64)).tolist() == [0, 1]


@pytest.mark.parametrize("options", [{"neighbours": 0}, {"gamma_f": -1.0}, {"gamma_r": math.nan}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UserError, match="D2 takes"):
        D2(**options)
