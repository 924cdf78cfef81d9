"""The curvature of a network's last layer over a set, in closed form and differentiable to the pixels.

A sample's gradient of the cross-entropy with respect to the last layer's weights and bias is r ⊗ ẑ with
r = p − y and ẑ = [1, z]; its Hessian diagonal is p(1 − p) ⊗ ẑ². Neither is ever made for single samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from nets.last_layer import product_variance

Curvature = Callable[[Tensor, Tensor, Tensor], Tensor]  # z [..., n, d], logits [..., n, C], labels [..., n]


def gradient_variance(z: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the variance over n samples of their gradients, per coordinate, [..., C, d + 1].

    It is the paper's stand-in for the Hessian diagonal; divided by n, so zero for one sample.

    Args:
        z: embeddings, floating [..., n, d].
        logits: [..., n, C].
        labels: int64 [..., n].
    """
    residuals = logits.softmax(dim=-1) - F.one_hot(labels, logits.shape[-1]).to(logits)
    return product_variance(residuals, _with_bias(z))


def hessian_diagonal(z: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Hessian diagonal of the mean loss of n samples, [..., C, d + 1]; arguments as above."""
    p = logits.softmax(dim=-1)
    return (p * (1 - p)).mT @ _with_bias(z).square() / z.shape[-2]


CURVATURES: dict[str, Curvature] = {"variance": gradient_variance, "diagonal": hessian_diagonal}


def _with_bias(z: Tensor) -> Tensor:
    return F.pad(z, (1, 0), value=1.0)  # [..., n, d + 1]
