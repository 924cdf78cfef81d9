"""Differences of mean losses as functions of the last linear layer: from embeddings, logits and labels alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_NUMBERS = 1 << 22  # logits at a time


@dataclass(frozen=True, eq=False)
class LastLayerDifferences:
    """B weighted sums of the cross-entropies of n samples, D_b(ε) = Σ_i a_bi · ℓ_i(θ + ε).

    With a = 1/n less a coreset's weights, D is the full set's mean loss less the coreset's. A change ε of the last
    layer [bias, weights] changes the logits of a sample to f + ε ẑ with ẑ = [1, z], exactly.

    Attributes:
        embeddings: z, floating [n, d]; matrix products are in their dtype.
        logits: f at θ, floating [n, C].
        labels: int64 [n].
        shares: a, float64 [B, n].
    """

    embeddings: Tensor
    logits: Tensor
    labels: Tensor
    shares: Tensor

    @property
    def size(self) -> int:
        """The number of parameters of the last layer, P = C(d + 1)."""
        return self.logits.shape[1] * (self.embeddings.shape[1] + 1)

    def __call__(self, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """Return D_b(ε_b), float64 [B], and its gradients, float64 [B, P], at ``epsilon``, float64 [B, P]."""
        change = self._matrices(epsilon)
        values = torch.zeros(len(epsilon), dtype=torch.float64, device=epsilon.device)
        gradients = torch.zeros_like(change, dtype=torch.float64)
        for z, f, y, a in self._chunks():
            logits = f[:, None] + self._products(z, change)  # [m, B, C]
            own = y[:, None, None].expand(-1, len(epsilon), 1)  # [m, B, 1]
            logp = logits.log_softmax(dim=2)
            values -= (logp.gather(2, own)[..., 0] * a).sum(dim=0)
            p = logp.exp_()
            p.scatter_add_(2, own, -torch.ones_like(own, dtype=p.dtype))  # p − y
            gradients += self._summed(p.mul_(a[..., None]), z)
        return values, gradients.flatten(1)

    def hessian_products(self, vectors: Tensor) -> Tensor:
        """Return ∇²D_b(0) v_b, float64 [B, P], for ``vectors``, float64 [B, P].

        The Hessian of a sample's cross-entropy is (diag(p) − p pᵀ) ⊗ ẑẑᵀ.
        """
        change = self._matrices(vectors)
        products = torch.zeros_like(change, dtype=torch.float64)
        for z, f, _, a in self._chunks():
            p = f.softmax(dim=1)[:, None]  # [m, 1, C]
            u = self._products(z, change)  # [m, B, C]
            products += self._summed(p * (u - (p * u).sum(dim=2, keepdim=True)) * a[..., None], z)
        return products.flatten(1)

    def _matrices(self, flat: Tensor) -> Tensor:
        return flat.view(len(flat), self.logits.shape[1], -1)  # [B, C, d + 1]

    def _products(self, z: Tensor, matrices: Tensor) -> Tensor:
        """Return ε ẑ of each sample and each of the B matrices, float64 [m, B, C]."""
        flat = matrices.flatten(0, 1)  # [B · C, d + 1]
        products = (z @ flat[:, 1:].T.to(z.dtype)).double() + flat[:, 0]  # [m, B · C]
        return products.view(len(z), *matrices.shape[:2])

    def _summed(self, r: Tensor, z: Tensor) -> Tensor:
        """Return Σ_i r_i ⊗ ẑ_i of float64 r [m, B, C], float64 [B, C, d + 1]."""
        flat = r.flatten(1)  # [m, B · C]
        weights = (flat.T.to(z.dtype) @ z).double()  # [B · C, d]
        return torch.cat([flat.sum(dim=0)[:, None], weights], dim=1).view(*r.shape[1:], -1)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield embeddings [m, d], float64 logits [m, C], labels [m] and shares [m, B] of some samples at a time."""
        rows = max(1, _NUMBERS // (len(self.shares) * self.logits.shape[1]))
        for start in range(0, len(self.labels), rows):
            part = slice(start, start + rows)
            yield self.embeddings[part], self.logits[part].double(), self.labels[part], self.shares[:, part].T
