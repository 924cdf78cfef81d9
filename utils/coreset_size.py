"""How much to keep: a fraction of all samples, a number of samples in all, or a number of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from utils.errors import UserError
from utils.flags import flag, integer, number, switch

_TAGS = {"fraction": "f", "budget": "budget", "ipc": "ipc"}  # what amounts are of, and how run names say it
_AT_LEAST_ONE = "at_least_one"


@dataclass(frozen=True)
class CoresetSize:
    """The size that is asked of a coreset; ``methods.budgets`` shares it out between classes.

    Attributes:
        unit: ``fraction`` of all samples, ``budget`` in all, or ``ipc``, samples per class.
        amount: in (0, 1] for a fraction, else a whole number of at least 1.
        at_least_one: whether a class whose share rounds to nothing gives one sample all the same.

    Raises:
        UserError: an amount outside its bounds.
    """

    unit: str
    amount: float
    at_least_one: bool = False

    def __post_init__(self) -> None:
        amount = self.amount
        if self.unit == "fraction":
            if not (isinstance(amount, Real) and 0 < amount <= 1):
                raise UserError(f"fraction {amount} is outside (0, 1]; 0.1 keeps one sample in ten")
            object.__setattr__(self, "amount", float(amount))
        else:
            if not isinstance(amount, Integral) or isinstance(amount, bool) or amount < 1:
                raise UserError(f"{self.unit} is a whole number of at least 1, not {amount!r}")
            object.__setattr__(self, "amount", int(amount))
        if self.at_least_one not in (True, False):
            raise UserError(f"{_AT_LEAST_ONE} is True or False, not {self.at_least_one!r}")
        if self.at_least_one and self.unit == "ipc":
            raise UserError(f"{_AT_LEAST_ONE} has no part in ipc, which is of every class; leave it out")

    @classmethod
    def of(
        cls, *, fraction: Any = None, budget: Any = None, ipc: Any = None, at_least_one: bool = False
    ) -> CoresetSize:
        """Return the size of which one amount is given. Raises UserError unless it is exactly one."""
        amounts = {"fraction": fraction, "budget": budget, "ipc": ipc}
        given = {unit: amount for unit, amount in amounts.items() if amount is not None}
        if len(given) != 1:
            said = " and ".join(f"{unit}={amount!r}" for unit, amount in given.items()) or "none of them"
            raise UserError(f"give one of fraction, budget (samples in all) and ipc (samples per class), not {said}")
        ((unit, amount),) = given.items()
        return cls(unit, amount, at_least_one)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CoresetSize:
        """Return the size among ``values`` as :meth:`as_dict` gave it. Raises UserError where there is none."""
        return cls.of(**{name: values[name] for name in (*_TAGS, _AT_LEAST_ONE) if name in values})

    def as_dict(self) -> dict[str, Any]:
        """Return the amount under the name of its unit, and what differs from the default beside it."""
        return {self.unit: self.amount} | ({_AT_LEAST_ONE: True} if self.at_least_one else {})

    @property
    def tag(self) -> str:
        """The size as names of runs say it: ``f0.1``, ``budget50``, ``ipc10``."""
        return f"{_TAGS[self.unit]}{self.amount:g}" if self.unit == "fraction" else f"{_TAGS[self.unit]}{self.amount}"

    def fraction(self, kept: int, n: int) -> float:
        """Return the fraction asked for; of the other units the part of ``n`` samples that ``kept`` are."""
        return self.amount if self.unit == "fraction" else round(kept / n, 6)

    def __str__(self) -> str:
        return f"{self.unit} {self.amount:g}" if self.unit == "fraction" else f"{self.unit} {self.amount}"


@dataclass(frozen=True)
class SizeFlags:
    """The sizes that a command line asks for: each is a coreset of its own, and all share one selection."""

    fractions: tuple[float, ...] = flag(
        (),
        "--fraction",
        number("(0, 1]"),
        "the part of the training set to keep; several share one proxy and one selection (default: 0.1)",
        "F [F ...]",
    )
    budgets: tuple[int, ...] = flag((), "--budget", integer(1), "keep N images in all", "N [N ...]")
    ipcs: tuple[int, ...] = flag((), "--ipc", integer(1), "keep N images of each class", "N [N ...]")
    at_least_one: bool = switch(
        "--at_least_one", "keep one image of each class whose share of --fraction or --budget rounds to none"
    )

    def sizes(self, balance: bool) -> tuple[CoresetSize, ...]:
        """Return all sizes, a fraction of 0.1 where none is given; unbalanced ones know no classes."""
        whole = {"at_least_one": self.at_least_one and balance}
        fractions = self.fractions or (() if self.budgets or self.ipcs else (0.1,))
        return (
            *(CoresetSize.of(fraction=fraction, **whole) for fraction in fractions),
            *(CoresetSize.of(budget=budget, **whole) for budget in self.budgets),
            *(CoresetSize.of(ipc=ipc) for ipc in self.ipcs),
        )
