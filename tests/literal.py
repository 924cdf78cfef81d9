"""LCMat-S as its definition reads: dense derivatives, pair by pair, naive greedy. Slow and obvious."""

from __future__ import annotations

import numpy as np


def dense_derivatives(z: np.ndarray, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """g and h [n, C·(d + 1)] of each sample's own cross-entropy, (p − y) ⊗ [1, z] and p(1 − p) ⊗ [1, z]²."""
    p = np.exp(f - f.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    n, classes = f.shape
    onehot = np.eye(classes)[y]
    augmented = np.concatenate([np.ones((n, 1)), z], axis=1)
    g = (p - onehot)[:, :, None] * augmented[:, None, :]  # [n, C, d + 1]
    h = (p * (1 - p))[:, :, None] * augmented[:, None, :] ** 2  # [n, C, d + 1]
    return g.reshape(n, -1), h.reshape(n, -1)


def distances(g: np.ndarray, h: np.ndarray, eps: float, num_dims: int) -> np.ndarray:
    """D [n, n], one pair at a time."""
    top = np.argsort(-h.var(axis=0), kind="stable")[:num_dims]
    n = len(g)
    matrix = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            gradient = np.sqrt(np.sum((g[i] - g[j]) ** 2))
            matrix[i, j] = gradient + eps * np.sum(np.abs(h[i, top] - h[j, top]))
    return matrix


def naive_picks(matrix: np.ndarray, budget: int, offset: float) -> list[int]:
    """Facility location over offset − D: every gain anew for every pick, the lowest index on ties.

    The gain Σ_i max(0, (offset − D_ij) − current_i) is summed as Σ_i max(0, nearest_i − D_ij), where small
    differences do not drown in a large offset. Two samples that are each other's nearest have the same gain but
    for rounding, which must not decide.
    """
    nearest = np.full(len(matrix), float(offset))
    picks: list[int] = []
    for _ in range(budget):
        gains = np.maximum(0, nearest[:, None] - matrix).sum(axis=0)
        gains[picks] = -np.inf
        rounding = 1e-9 * gains.max() + 1e-12 * nearest.sum()
        picks.append(int(np.flatnonzero(gains >= gains.max() - rounding)[0]))
        nearest = np.minimum(nearest, matrix[:, picks[-1]])
    return picks


def objective(matrix: np.ndarray, picks: list[int]) -> float:
    """F(S) = Σ_i min_{j∈S} D_ij."""
    return float(matrix[:, picks].min(axis=1).sum())
