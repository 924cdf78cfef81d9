"""L1 distances by tiles, beside broadcasting, and the same bits wherever a pair lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.features import Features
from methods.greedy.distances import CurvatureDistance
from methods.greedy.manhattan import add_manhattan
from methods.greedy.pairwise_matrix import PairwiseMatrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("r", "c"), [(1, 1), (1, 200), (3, 64), (70, 65), (256, 257), (300, 40), (0, 5), (5, 0)])
def test_a_block_is_added_to(r, c, dtype):
    random = torch.Generator().manual_seed(r + c)
    a, b = (torch.randn(rows, 24, generator=random, dtype=dtype) for rows in (r, c))
    target = torch.randn(r, c, generator=random, dtype=torch.float64)
    expected = target + (a[:, None].double() - b.double()).abs().sum(dim=2)
    assert add_manhattan(target, a, b) is target
    torch.testing.assert_close(target, expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [8, 16, 40, 104])
def test_a_pair_comes_out_the_same_to_the_last_bit_wherever_it_lies(columns, dtype):
    h = torch.randn(600, columns, generator=torch.Generator().manual_seed(columns), dtype=dtype)
    whole = torch.zeros(600, 600, dtype=dtype)
    i, j = torch.triu_indices(600, 600, 1)
    whole[i, j] = torch.pdist(h, p=1)
    whole += whole.T.clone()
    for rows in (torch.tensor([599]), torch.tensor([3, 501, 77]), torch.arange(600)):
        for first, last in ((0, 600), (123, 600), (7, 8)):
            found = add_manhattan(torch.zeros(len(rows), last - first, dtype=dtype), h[rows], h[first:last])
            assert torch.equal(found, whole[rows, first:last])


def test_float32_distances_are_the_same_bits_held_and_on_demand():
    random = np.random.default_rng(0)
    z, f = random.normal(size=(400, 30)).astype(np.float32), random.normal(size=(400, 6)).astype(np.float32)
    distance = CurvatureDistance(Features.of(z, f, np.zeros(400, dtype=int)), 0.5, 100)
    held, demanded = PairwiseMatrix(distance), PairwiseMatrix(distance, 1_000_000)
    assert held.held is not None and demanded.held is None
    for rows in torch.arange(400).split(demanded.rows_at_once):
        torch.testing.assert_close(demanded.rows(rows), held.held[rows], rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_float32_keeps_small_distances_beside_large_curvatures(scale):
    """Ten orders of magnitude of curvature in one class; every pair to six digits of what float64 finds."""
    random = np.random.default_rng(1)
    z = (scale * random.normal(size=(50, 6)) * 10.0 ** random.uniform(-2, 2, size=(50, 1))).astype(np.float32)
    f = (4 * random.normal(size=(50, 3))).astype(np.float32)
    z[1], f[1] = z[0], f[0]
    y = np.zeros(50, dtype=int)
    everyone = slice(0, 50)
    single, double = (
        CurvatureDistance(Features.of(z.astype(dtype), f, y), 0.5, 10).exact(everyone, everyone)
        for dtype in (np.float32, np.float64)
    )
    assert single[0, 1] == 0
    torch.testing.assert_close(single, double, rtol=2e-6, atol=0)
