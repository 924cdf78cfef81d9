"""The selection of the authors' released code, to the pick; for comparison.

It differs from LCMat-S in these ways: each sample's derivatives are divided by the size of the batch that it was
scored in, so that those of a class's last partial batch weigh more; everything is float32; similarities are 10 − D,
and those below 0 count as 0; and the picks come sorted.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.features import Features
from utils.data.coreset import Coreset
from utils.errors import UserError

_OFFSET = 10.0


def released_picks(features: Features, eps: float, num_dims: int, budget: int) -> Coreset:
    """Return the picks from one class, sorted.

    Args:
        features: of its samples, scored in batches of the class (with ``shares``).
        eps: weight of the curvature term.
        num_dims: coordinates of the Hessian diagonal that are compared.
        budget: how many to pick.

    Raises:
        UserError: the features do not say in which batches they were scored.
    """
    if features.shares is None:
        raise UserError(
            "released takes the batches that the proxy scored images in: run main.py --selection LCMat --released"
        )
    similarity = _OFFSET - _distances(features, features.shares.float(), eps, num_dims)  # [n, n]
    best = torch.zeros_like(similarity[0])  # [n]
    picked: list[int] = []
    for _ in range(budget):
        gains = (similarity - best).clamp_min_(0).sum(dim=1)  # [n]
        gains[picked] = -torch.inf
        picked.append(int(gains.argmax()))
        best = torch.maximum(best, similarity[picked[-1]])
    return Coreset(torch.tensor(sorted(picked), dtype=torch.int64).numpy())


def _distances(features: Features, shares: Tensor, eps: float, num_dims: int) -> Tensor:
    """Return ‖g_i − g_j‖₂ + eps · Σ_k |h_ik − h_jk|, float32 [n, n]."""
    z = F.pad(features.embeddings.float(), (1, 0), value=1.0)  # [n, d + 1]
    p = features.logits.float().softmax(dim=1)  # [n, C]
    residuals = (p - F.one_hot(features.labels, p.shape[1])) * shares[:, None]
    gradients = (residuals[:, :, None] * z[:, None, :]).flatten(1)  # [n, C(d + 1)]
    curvatures = ((p * (1 - p) * shares[:, None])[:, :, None] * z.square()[:, None, :]).flatten(1)
    largest = curvatures.var(dim=0).topk(min(num_dims, curvatures.shape[1])).indices  # [K]
    curvatures = curvatures[:, largest]
    return torch.cdist(gradients, gradients) + eps * torch.cdist(curvatures, curvatures, p=1)
