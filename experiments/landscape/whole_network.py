"""The difference of two mean losses as a function of every parameter of a network, by differentiating in batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.landscape.surface import moved
from utils.data.batches import Batch


@dataclass(frozen=True, eq=False)
class WholeNetworkDifference:
    """D(ε) = Σ_i a_i · ℓ_i(θ + ε) for the losses of m images and changes ε of all P parameters.

    Attributes:
        module: in evaluation mode, at θ.
        batches: of the m images, in order; can be iterated again and again.
        shares: a, float64 [m].
    """

    module: nn.Module
    batches: Iterable[Batch]
    shares: Tensor

    @property
    def size(self) -> int:
        """P."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def zero(self) -> Tensor:
        """The point ε = 0, float64 [1, P], on the network's device."""
        return torch.zeros(1, self.size, dtype=torch.float64, device=next(self.module.parameters()).device)

    def __call__(self, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """Return D(ε), float64 [1], and its gradient, float64 [1, P], at ``epsilon`` [1, P], by one pass."""
        parameters = list(self.module.parameters())
        value, gradient = torch.zeros_like(epsilon[:, 0]), torch.zeros_like(epsilon)
        with moved(self.module, epsilon[0].to(parameters[0].dtype)):
            for term in self._terms():
                gradient[0] += _flat(torch.autograd.grad(term, parameters)).double()
                value += term.detach().double()
        return value, gradient

    def hessian_product(self, vector: np.ndarray) -> np.ndarray:
        """Return ∇²D(0) v for v float64 [P], by one pass and two derivatives."""
        parameters = list(self.module.parameters())
        v = torch.from_numpy(vector).to(parameters[0])
        product = torch.zeros_like(v, dtype=torch.float64)
        for term in self._terms():
            along = _flat(torch.autograd.grad(term, parameters, create_graph=True)) @ v
            product += _flat(torch.autograd.grad(along, parameters)).double()
        return product.cpu().numpy()

    def _terms(self) -> Iterable[Tensor]:
        """Yield what each batch adds to D."""
        start = 0
        for batch in self.batches:
            losses = F.cross_entropy(self.module(batch.x), batch.y, reduction="none")  # [b]
            yield losses @ self.shares[start : start + len(batch)].to(losses)
            start += len(batch)


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])  # [P]
