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

    def everywhere(self) -> Features:
        """Return these: every rank holds them."""
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
        rows: int64 [m], in main memory, where the samples are in the matrices; None: all n in order.
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
        here = indices.cpu()
        return replace(self, labels=self.labels[indices], rows=here if self.rows is None else self.rows[here])

    def read(self) -> Features:
        """Return the features of these samples in memory, on their device."""
        rows = torch.arange(len(self)) if self.rows is None else self.rows
        z, f = (each.read(rows).to(self.labels.device) for each in (self.embeddings, self.logits))
        return Features(z, f if self.temperature == 1 else f / self.temperature, self.labels, None, self.coordinates)

    def everywhere(self) -> Features:
        """Return the features of these samples in memory: every rank may read them."""
        return self.read()

    def logit_blocks(self) -> Iterable[Tensor]:
        """Yield the logits before any temperature, some rows at a time."""
        return self.logits.blocks()

    def at_temperature(self, temperature: float) -> StoredFeatures:
        """Return the features with logits divided by ``temperature`` when they are read."""
        return replace(self, temperature=temperature)


@dataclass(frozen=True, eq=False)
class SharedFeatures:
    """Features of n samples that ranks share: each holds those of some samples, and all know the labels.

    Attributes:
        embeddings: floating [h, d], of the samples held here.
        logits: floating [h, C].
        labels: int64 [m] in [0, C), of all samples looked at.
        rows: int64 [m], which of the n these are.
        held: int64 [h], which of the n are held here, ascending.
        world: the ranks.
        coordinates: as in ``Features``.
    """

    embeddings: Tensor
    logits: Tensor
    labels: Tensor
    rows: Tensor
    held: Tensor
    world: World
    coordinates: Tensor | None = None

    @classmethod
    def of(cls, embeddings: Tensor, logits: Tensor, labels: Tensor, world: World) -> SharedFeatures:
        """Return features of which this rank gives its ``world.shard``, validated; ``labels`` are of all n samples.

        Raises:
            UserError: on every rank, as ``Features.of`` for the shard of any of them.
        """
        everyone = torch.arange(len(labels), device=labels.device)
        held = everyone[world.shard(len(labels))]
        said = None
        try:
            as_features(embeddings, logits, labels[held])
        except UserError as error:
            said = str(error)
        for each in world.all_gather_object(said):
            if each is not None:
                raise UserError(each)
        return cls(embeddings, logits, labels, everyone, held, world)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> SharedFeatures:
        """Return the features of the samples at ``indices`` (int64 [m]), wherever they are held."""
        return replace(self, labels=self.labels[indices], rows=self.rows[indices])

    def read(self) -> Features:
        """Return the features of these samples, all of which this rank must hold."""
        at = torch.searchsorted(self.held, self.rows)  # [m]
        return Features(self.embeddings[at], self.logits[at], self.labels, None, self.coordinates)

    def everywhere(self) -> Features:
        """Return the features of these samples on every rank; all are to call this together."""
        here, at = self._held_here()
        z, f = (each.new_zeros(len(self), each.shape[1]) for each in (self.embeddings, self.logits))
        z[here], f[here] = self.embeddings[at], self.logits[at]
        return Features(self.world.all_reduce(z), self.world.all_reduce(f), self.labels)

    def exchanged(self, owners: Tensor) -> SharedFeatures:
        """Return the features after each sample went to the rank that owns it; all are to call this together.

        Args:
            owners: int64 [m], the rank of each of these samples, −1 for those that nobody needs.
        """
        here, at = self._held_here()
        wanted = owners[here] >= 0
        to, at = owners[here][wanted], at[wanted]
        held, order = self.world.all_to_all(self.held[at], to).sort()
        z, f = (self.world.all_to_all(each[at], to)[order] for each in (self.embeddings, self.logits))
        return replace(self, embeddings=z, logits=f, held=held)

    def logit_blocks(self) -> Iterable[Tensor]:
        """Return the logits held here, in one block."""
        return [self.logits]

    def at_temperature(self, temperature: float) -> SharedFeatures:
        """Return the features with logits divided by ``temperature``."""
        return replace(self, logits=self.logits / temperature)

    def _held_here(self) -> tuple[Tensor, Tensor]:
        """Return which of these samples are held here, and where, int64 [h] each."""
        here = torch.isin(self.rows, self.held).nonzero()[:, 0]
        return here, torch.searchsorted(self.held, self.rows[here])


AnyFeatures = Features | StoredFeatures | SharedFeatures


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
