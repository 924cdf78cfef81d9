"""The certificate of a coreset: how far its loss may be from the full set's near a network, in the last layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.landscape.eigenvalues import largest_eigenvalue, largest_magnitude
from utils.landscape.last_layer import LastLayerDifferences
from utils.landscape.worst_case import second_order_bound, worst_changes
from utils.seeding import generator

RANDOM_CORESETS = 20
_DIGITS = 5  # kept: the others depend on how many threads added up


@dataclass(frozen=True)
class Certificate:
    """What sets a coreset's mean loss apart from the full set's at a network and around it, in the last layer.

    With D(ε) = L(T; θ + ε) − L(S; θ + ε), for the full set T and the coreset S:

    Attributes:
        samples: of the full set.
        size: of the coreset.
        radius: ρ.
        loss: L(S) − L(T) at θ.
        gradient: ‖∇D(0)‖₂.
        curvature: λ_max(∇²D(0)), the largest eigenvalue.
        bound: ‖∇D(0)‖ ρ + (ρ²/2) |λ|_max, which bounds the worst case to second order.
        worst: max over ‖ε‖ ≤ ρ of |D(ε)| − |D(0)|, as measured.
        random: how many random coresets were measured beside it, of as many samples of each class.
        random_mean, random_std: of their worst cases; the sample standard deviation.
        percentile: the percentage of them with a smaller worst case: 0 where none is better.
    """

    samples: int
    size: int
    radius: float
    loss: float
    gradient: float
    curvature: float
    bound: float
    worst: float
    random: int
    random_mean: float
    random_std: float
    percentile: float

    def __str__(self) -> str:
        return (
            f"worst change of the loss difference within {self.radius:.3g} of the last layer: {self.worst:.3g} (bound "
            f"{self.bound:.3g}), random coresets {self.random_mean:.3g} ± {self.random_std:.2g}, "
            f"percentile {self.percentile:.0f}"
        )

    @classmethod
    def from_dict(cls, values: Any) -> Certificate:
        """Return what ``dataclasses.asdict`` gave, read back. Raises UserError where it is anything else."""
        try:
            certificate = cls(**values)
            if all(isinstance(value, (int, float)) for value in asdict(certificate).values()):
                return certificate
        except TypeError:
            pass
        raise UserError(f"a certificate holds the numbers {', '.join(each.name for each in fields(cls))}")


def certify(
    embeddings: Tensor,
    logits: Tensor,
    labels: Tensor,
    indices: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    radius: float | None = None,
    random: int = RANDOM_CORESETS,
    seed: int = 0,
) -> Certificate:
    """Return the certificate of the coreset at ``indices`` of n samples, at the network that their features are of.

    Args:
        embeddings: floating [n, d], on any device.
        logits: floating [n, C].
        labels: int64 [n].
        indices: int64 [k], the coreset's samples.
        weights: floating [k], or None.
        radius: ρ; None: see ``usual_radius``.
        random: how many random coresets to compare with, at least 2.
        seed: of the random coresets.

    Raises:
        UserError: a radius that is not a finite number above 0, fewer than 2 random coresets, or a coreset that is
            empty, of other data or of zero weights.
    """
    radius = usual_radius(embeddings) if radius is None else radius
    if not (isinstance(radius, (int, float)) and 0 < radius < math.inf):
        raise UserError(f"the radius of a certificate is a finite number above 0, not {radius!r}")
    if random < 2:
        raise UserError(f"a certificate compares with at least 2 random coresets, not {random}")
    _check_coreset(indices, weights, len(labels))
    coresets = [(torch.tensor(indices), None if weights is None else torch.tensor(weights))]
    wanted = labels.cpu()[coresets[0][0]].bincount(minlength=logits.shape[1]).tolist()
    coresets += [(each, None) for each in random_coresets(labels.cpu(), wanted, random, seed)]
    shares = torch.stack([shares_of_difference(len(labels), *each) for each in coresets])  # [1 + random, n]
    differences = LastLayerDifferences(embeddings, logits, labels, shares.to(labels.device))
    zero = torch.zeros(len(shares), differences.size, dtype=torch.float64, device=labels.device)
    worst = worst_changes(differences, zero, radius).cpu()
    own = LastLayerDifferences(embeddings, logits, labels, differences.shares[:1])
    value, gradient = own(zero[:1])
    length, top, magnitude = float(gradient.norm()), *eigenvalues(own)
    measured = {
        "radius": radius,
        "loss": -float(value),
        "gradient": length,
        "curvature": top,
        "bound": second_order_bound(length, magnitude, radius),
        "worst": float(worst[0]),
        "random_mean": float(worst[1:].mean()),
        "random_std": float(worst[1:].std()),
        "percentile": 100 * float((worst[1:] < worst[0]).double().mean()),
    }
    rounded = {name: float(f"{number:.{_DIGITS}g}") for name, number in measured.items()}
    return Certificate(samples=len(labels), size=len(indices), random=random, **rounded)


def usual_radius(embeddings: Tensor) -> float:
    """Return 1/√(mean of 1 + ‖z‖²): no change of that length moves a logit of a typical sample by more than 1."""
    squares = sum(float(part.double().square().sum()) for part in embeddings.split(1 << 14))
    return 1 / math.sqrt(1 + squares / max(len(embeddings), 1))


def eigenvalues(difference: LastLayerDifferences) -> tuple[float, float]:
    """Return λ_max and |λ|_max of the Hessian of one difference (B = 1) at ε = 0."""

    def product(v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(v).to(difference.labels.device)[None]  # [1, P]
        return difference.hessian_products(vector)[0].cpu().numpy()

    return largest_eigenvalue(product, difference.size), largest_magnitude(product, difference.size)


def shares_of_difference(n: int, indices: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return a with Σ_i a_i ℓ_i = L(T) − L(S) for a coreset ``indices`` (int64 [k]) of n samples, float64 [n]."""
    each = torch.ones(len(indices), dtype=torch.float64) if weights is None else weights.double()
    shares = torch.full((n,), 1 / n, dtype=torch.float64)
    shares[indices] -= each / each.sum()
    return shares


def random_coresets(labels: Tensor, wanted: Sequence[int], count: int, seed: int) -> list[Tensor]:
    """Return ``count`` random coresets of n samples with ``wanted[c]`` of class c, int64 [k] each.

    Args:
        labels: int64 [n], on the CPU.
    """
    random = generator(seed, "random coresets")
    members = [(labels == label).nonzero()[:, 0] for label in range(len(wanted))]
    return [
        torch.cat([of[torch.randperm(len(of), generator=random)[:k]] for of, k in zip(members, wanted, strict=True)])
        for _ in range(count)
    ]


def _check_coreset(indices: np.ndarray, weights: np.ndarray | None, n: int) -> None:
    if not len(indices):
        raise UserError("an empty coreset has no certificate")
    if indices.max() >= n:
        raise UserError(f"the coreset names sample {indices.max()}, but there are features of only {n} samples")
    if weights is not None and not weights.sum() > 0:
        raise UserError("the weights of the coreset are all 0: its mean loss is not defined")
