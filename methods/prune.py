"""Pruning before any selection: the hardest or the easiest samples are left out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.tie_breaking import ranking
from utils.errors import UserError, choose
from utils.flags import number

ENDS = ("hardest", "easiest")


@dataclass(frozen=True)
class Prune:
    """Leave out a share of the samples at one end of the rank by difficulty.

    Attributes:
        end: hardest or easiest.
        share: in (0, 1); of n samples round(share · n) are left out.
    """

    end: str
    share: float

    @classmethod
    def read(cls, text: str) -> Prune:
        """Read ``hardest:0.2``.

        Raises:
            UserError: another end, or a share outside (0, 1).
        """
        end, colon, share = text.partition(":")
        if not colon:
            raise UserError(f"must be an end and a share such as hardest:0.2, not {text!r}")
        return cls(choose("end", end, ENDS), number("(0, 1)")(share))

    def __str__(self) -> str:
        return f"{self.end}:{self.share:g}"

    def left(self, n: int) -> int:
        """Return how many of ``n`` samples are left."""
        return n - round(self.share * n)

    def kept(self, difficulty: Tensor) -> Tensor:
        """Return which samples are left, int64 [m], ascending; of equal ones the lowest index counts as hardest.

        Args:
            difficulty: floating [n], higher for harder ones.
        """
        hardest_first = ranking(difficulty.double())
        left = self.left(len(difficulty))
        kept = hardest_first[len(difficulty) - left :] if self.end == "hardest" else hardest_first[:left]
        return kept.sort().values
