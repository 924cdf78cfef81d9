"""The outermost eigenvalues of a symmetric operator that is known by its products, by Lanczos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]  # of the operator and a vector, float64 [P] both

_ACCURACY = 1e-3  # relative, of the eigenvalues
_RESTARTS = 100


def largest_eigenvalue(product: Product, size: int) -> float:
    """Return λ_max, from a fixed start."""
    return float(_outermost(product, size, 1, "LA")[0][-1])


def largest_magnitude(product: Product, size: int) -> float:
    """Return |λ|_max."""
    return float(np.abs(_outermost(product, size, 1, "LM")[0]).max())


def sharpest_directions(product: Product, size: int) -> np.ndarray:
    """Return the unit eigenvectors of the two eigenvalues of largest magnitude, the larger one first, [2, P]."""
    values, vectors = _outermost(product, size, 2, "LM")
    return vectors[:, np.argsort(-np.abs(values), kind="stable")[:2]].T


def _outermost(product: Product, size: int, count: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` eigenvalues at the end ``which`` (as scipy's eigsh names it) and their vectors [P, count]."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # here, because it takes a while

    start = np.random.default_rng(0).normal(size=size)
    if size <= 2 * count:
        return np.linalg.eigh(np.stack([product(row) for row in np.eye(size)]))
    if not np.linalg.norm(product(start)) > 1e-12 * np.linalg.norm(start):
        return np.zeros(count), np.eye(size)[:, :count]
    operator = LinearOperator((size, size), matvec=lambda v: product(v.ravel()), dtype=np.float64)
    try:
        return eigsh(operator, k=count, which=which, v0=start, tol=_ACCURACY, maxiter=_RESTARTS)
    except ArpackNoConvergence as error:
        if len(error.eigenvalues) < count:
            return np.full(count, np.nan), np.full((size, count), np.nan)
        return error.eigenvalues, error.eigenvectors
