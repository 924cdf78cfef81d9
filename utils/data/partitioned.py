"""How near a selection in parts came to one from all samples at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from utils.errors import UserError


@dataclass(frozen=True)
class Partitioned:
    """What facility location in parts came to, in one class or over all.

    Attributes:
        samples: n, how many it selected from.
        parts: P, how many they were split into.
        near: whether samples near each other were put together, else at random.
        candidates: how many samples the parts picked together.
        seen: over how many samples, drawn at random where that is not all, the distances were measured.
        distance: the mean distance of a sample to its nearest pick.
        largest: the largest distance between a sample and a pick.
        full_distance: the same mean for the greedy over all samples at once, where that was measured.
    """

    samples: int
    parts: int
    near: bool
    candidates: int
    seen: int
    distance: float
    largest: float
    full_distance: float | None = None

    @property
    def ratio(self) -> float | None:
        """The objective, Σ_i (c − min_j D_ij), over that of the full greedy, with c the ``largest`` distance."""
        if self.full_distance is None:
            return None
        full = self.largest - self.full_distance
        return (self.largest - self.distance) / full if full > 0 else 1.0

    def __str__(self) -> str:
        of = "all" if self.seen == self.samples else f"{self.seen:,} of"
        kind = "near" if self.near else "random"
        text = (
            f"{self.parts} {kind} parts, {self.candidates:,} candidates, {self.distance:.4g} to the nearest pick in "
            f"the mean over {of} {self.samples:,} samples"
        )
        return text if self.ratio is None else f"{text}, {100 * self.ratio:.2f} % of the full greedy's objective"

    @classmethod
    def from_json(cls, text: str) -> tuple[Partitioned, ...]:
        """Return what ``as_json`` wrote. Raises UserError where it is something else."""
        try:
            return tuple(cls(**each) for each in json.loads(text))
        except (ValueError, TypeError) as error:
            raise UserError(f"what it says of its parts is not to be read: {error}") from error


def as_json(partitioned: Sequence[Partitioned]) -> str:
    """Return selections in parts as JSON."""
    return json.dumps([asdict(each) for each in partitioned])
