"""The features that methods select by: embeddings, logits and labels, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nets.last_layer import Gradients
from utils.arrays import as_features
from utils.errors import UserError


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings, logits and labels of n samples, on one device.

    Attributes:
        embeddings: floating [n, d].
        logits: floating [n, C].
        labels: int64 [n] in [0, C).
        shares: float [n], 1/b for a sample that was scored in a batch of b (--scoring class_batches), or None.
    """

    embeddings: Tensor
    logits: Tensor
    labels: Tensor
    shares: Tensor | None = None

    @classmethod
    def of(cls, embeddings: Any, logits: Any, labels: Any) -> Features:
        """Return validated features from tensors or arrays; half precision becomes float32.

        Raises:
            UserError: lengths that differ, wrong ranks, NaN or infinite values, labels outside [0, C), or probabilities
            in the place of logits.
        """
        return cls(*as_features(embeddings, logits, labels))

    def __len__(self) -> int:
        return len(self.labels)

    def check_alike(self, other: Features) -> None:
        """Raise UserError unless ``other``, of validation samples, has as many embedding and logit columns."""
        mine, others = ((each.embeddings.shape[1], each.logits.shape[1]) for each in (self, other))
        if mine != others:
            raise UserError(
                f"validation samples have {others[0]} embedding and {others[1]} logit columns, "
                f"the samples to select from {mine[0]} and {mine[1]}"
            )

    def to(self, device: torch.device) -> Features:
        """Return the features on ``device``."""
        shares = None if self.shares is None else self.shares.to(device)
        return Features(self.embeddings.to(device), self.logits.to(device), self.labels.to(device), shares)

    def subset(self, indices: Tensor) -> Features:
        """Return the features of the samples at ``indices`` (int64 [m]), uncopied where these are all in order."""
        if torch.equal(indices, torch.arange(len(self), device=indices.device)):
            return self
        shares = None if self.shares is None else self.shares[indices]
        return Features(self.embeddings[indices], self.logits[indices], self.labels[indices], shares)

    def gradients(self) -> Gradients:
        """Return the samples' last-layer gradients, in factors.

        Raises:
            UserError: the embeddings' squares overflow.
        """
        return Gradients.of(self.embeddings, self.logits, self.labels)
