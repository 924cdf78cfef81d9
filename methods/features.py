"""The features that methods select by: embeddings, logits and labels, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nets.last_layer import Gradients
from utils.arrays import are_stored, as_features, as_stored_features
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.rows import Rows


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings, logits and labels of n samples, on one device.

    One of embeddings and logits may be missing: it has no columns then, and no method that needs it is given it.

    Attributes:
        embeddings: floating [n, d].
        logits: floating [n, C].
        labels: int64 [n], in [0, C) where there are logits.
        shares: float [n], 1/b for a sample that was scored in a batch of b (--scoring class_batches), or None.
        coordinates: int64 [K] of the Hessian diagonal, where samples are compared as in a larger whole; None: those of
            largest variance over these samples.
    """

    embeddings: Tensor
    logits: Tensor
    labels: Tensor
    shares: Tensor | None = None
    coordinates: Tensor | None = None

    @classmethod
    def of(cls, embeddings: Any, logits: Any, labels: Any) -> Features:
        """Return validated features from tensors or arrays, of which embeddings or logits may be None.

        Half precision becomes float32.

        Raises:
            UserError: lengths that differ, wrong ranks, NaN or infinite values, labels outside [0, C), or probabilities
            in the place of logits.
        """
        return cls(*as_features(embeddings, logits, labels))

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Features:
        """Return the features on ``device``."""
        shares = None if self.shares is None else self.shares.to(device)
        return Features(self.embeddings.to(device), self.logits.to(device), self.labels.to(device), shares)

    def subset(self, indices: Tensor) -> Features:
        """Return the features of the samples at ``indices`` (int64 [m]), uncopied where these are all in order."""
        if len(indices) == len(self) and torch.equal(indices, torch.arange(len(self), device=indices.device)):
            return self
        shares = None if self.shares is None else self.shares[indices]
        z, f, y = self.embeddings[indices], self.logits[indices], self.labels[indices]
        return Features(z, f, y, shares, self.coordinates)

    def read(self) -> Features:
        """Return these: they are held."""
        return self

    def logit_blocks(self) -> Iterable[Tensor]:
        """Return the logits in one block."""
        return [self.logits]

    def at_temperature(self, temperature: float) -> Features:
        """Return the features with logits divided by ``temperature``."""
        return replace(self, logits=self.logits / temperature)

    def gradients(self) -> Gradients:
        """Return the samples' last-layer gradients, in factors.

        Raises:
            UserError: the embeddings' squares overflow.
        """
        return Gradients.of(self.embeddings, self.logits, self.labels)


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features of m samples that are not held: embeddings and logits are read of those samples that are asked for.

    One of the two may be missing, as in ``Features``.

    Attributes:
        embeddings: Rows [n, d].
        logits: Rows [n, C].
        labels: int64 [m] in [0, C), of the samples, on the device that computes.
        rows: int64 [m], where the samples are in the matrices; None: all n in order.
        temperature: divides the logits.
        coordinates: as in ``Features``.
    """

    embeddings: Rows
    logits: Rows
    labels: Tensor
    rows: Tensor | None = None
    temperature: float = 1.0
    coordinates: Tensor | None = None

    @classmethod
    def of(cls, embeddings: Any, logits: Any, labels: Any, world: World = SINGLE_PROCESS) -> StoredFeatures:
        """Return features that rank 0 validates for all, some rows at a time; errors as ``Features.of``."""
        return cls(*as_stored_features(embeddings, logits, labels, world))

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> StoredFeatures:
        """Return the features as they are read to ``device``."""
        return replace(self, labels=self.labels.to(device))

    def subset(self, indices: Tensor) -> StoredFeatures:
        """Return the features of the samples at ``indices`` (int64 [m]), of which nothing is read yet."""
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, labels=self.labels[indices], rows=rows)

    def read(self) -> Features:
        """Return the features of these samples in memory, on their device."""
        rows = torch.arange(len(self)) if self.rows is None else self.rows
        z, f = (each.read(rows).to(self.labels.device) for each in (self.embeddings, self.logits))
        return Features(z, f if self.temperature == 1 else f / self.temperature, self.labels, None, self.coordinates)

    def logit_blocks(self) -> Iterable[Tensor]:
        """Yield the logits before any temperature, some rows at a time."""
        return self.logits.blocks()

    def at_temperature(self, temperature: float) -> StoredFeatures:
        """Return the features with logits divided by ``temperature`` when they are read."""
        return replace(self, temperature=temperature)


AnyFeatures = Features | StoredFeatures


def features_of(embeddings: Any, logits: Any, labels: Any) -> AnyFeatures:
    """Return validated features, held unless embeddings or logits are Rows or memory-mapped arrays.

    Raises:
        UserError: as ``Features.of``.
    """
    if are_stored(embeddings, logits):
        return StoredFeatures.of(embeddings, logits, labels)
    return Features.of(embeddings, logits, labels)


def parts_of(features: AnyFeatures) -> tuple[str, ...]:
    """Return which of embeddings and logits are there."""
    return tuple(name for name in ("embeddings", "logits") if getattr(features, name).shape[1])


def check_alike(features: AnyFeatures, held_out: Features) -> None:
    """Raise UserError unless ``held_out``, of validation samples, has as many embedding and logit columns."""
    mine, others = ((each.embeddings.shape[1], each.logits.shape[1]) for each in (features, held_out))
    if mine != others:
        raise UserError(
            f"validation samples have {others[0]} embedding and {others[1]} logit columns, "
            f"the samples to select from {mine[0]} and {mine[1]}"
        )
