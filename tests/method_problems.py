"""Small problems that the methods are tested on, and what their fast paths are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.base import PickSettings, SelectionInputs
from methods.features import Features


@dataclass(frozen=True)
class Problem:
    """Features whose logits come from a known last layer, in float64."""

    features: Features
    weight: Tensor  # [C, d]
    bias: Tensor  # [C]

    def dense_gradients(self, features: Features | None = None) -> Tensor:
        """Per-sample cross-entropy gradients by [bias, weights], by automatic differentiation, [n, C, d + 1]."""
        features = self.features if features is None else features
        rows = []
        for z, y in zip(features.embeddings, features.labels, strict=True):
            layer = torch.cat([self.bias[:, None], self.weight], dim=1).requires_grad_()  # [C, d + 1]
            logits = layer[:, 0] + layer[:, 1:] @ z
            rows.append(torch.autograd.grad(F.cross_entropy(logits[None], y[None]), layer)[0])
        return torch.stack(rows)


def problem(
    n: int = 48, d: int = 5, C: int = 3, seed: int = 0, scale: float = 1.0, labels: Tensor | None = None
) -> Problem:
    """Random embeddings, a random last layer, and labels that it mostly gets right; every class is there."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=random, dtype=torch.float64) + 0.3
    weight = scale * torch.randn(C, d, generator=random, dtype=torch.float64)
    bias = scale * torch.randn(C, generator=random, dtype=torch.float64)
    logits = z @ weight.T + bias
    if labels is None:
        labels = torch.where(torch.rand(n, generator=random) < 0.5, logits.argmax(dim=1), torch.arange(n) % C)
        labels[:C] = torch.arange(C)
    return Problem(Features.of(z, logits, labels), weight, bias)


def one_class(features: Features, label: int = 0) -> Features:
    """The features of the samples of one class."""
    return features.subset((features.labels == label).nonzero()[:, 0])


def inputs(features: Features, validation: Features | None = None) -> SelectionInputs:
    """Selection inputs of features alone."""
    return SelectionInputs(features.labels, features, validation)


def on_cpu(seed: int = 0, memory_budget: int | None = None) -> PickSettings:
    """Settings on the CPU."""
    return PickSettings(seed, torch.device("cpu"), memory_budget)


def indices(*values: int) -> np.ndarray:
    """An int64 array."""
    return np.array(values, dtype=np.int64)
