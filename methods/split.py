"""Into how many parts samples are split before facility location picks from them, and which are put together."""

from __future__ import annotations

from dataclasses import dataclass

from utils.errors import UserError
from utils.flags import integer

_AUTO, _NEAR = "auto", "near:"
_WHOLE, _PART = 20_000, 5000  # samples that ``auto`` takes at once, and those of a part of more


@dataclass(frozen=True)
class Split:
    """How samples are split.

    Attributes:
        parts: P; 1 for no split, None for as many as the number of samples asks for.
        near: whether samples near each other are put together, else they are drawn at random.
    """

    parts: int | None = 1
    near: bool = False

    @classmethod
    def read(cls, text: str) -> Split:
        """Read a number of random parts, ``near:`` and a number of parts of samples near each other, or ``auto``.

        Raises:
            UserError: it is none of them.
        """
        name = text.casefold()
        if name == _AUTO:
            return cls(None, near=True)
        near = name.startswith(_NEAR)
        try:
            return cls(integer(1)(name.removeprefix(_NEAR)), near)
        except UserError:
            raise UserError(f"must be a number of parts, near: and a number, or auto, not {text!r}") from None

    def __str__(self) -> str:
        return _AUTO if self.parts is None else f"{_NEAR if self.near else ''}{self.parts}"

    def number(self, n: int) -> int:
        """Return into how many parts n samples are split.

        ``auto`` looks at n alone, not at the memory that is free, so that the picks are everywhere the same.
        """
        if self.parts is None:
            return 1 if n <= _WHOLE else -(-n // _PART)
        return min(self.parts, n)


UNSPLIT = Split()
