"""How many samples each class gives, so that their sum is the size asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from methods.prune import Prune
from utils.coreset_size import CoresetSize
from utils.errors import UserError

ALL = -1  # the class of all samples, where they are selected from together


def budgets_for(
    labels: Tensor, size: CoresetSize, balance: bool, class_names: Sequence[str] = (), prune: Prune | None = None
) -> dict[int, int]:
    """Return how many samples to pick from each class that is present, or {ALL: how many to pick over all}.

    A fraction asks for round(fraction · n) of the n samples. Classes share a fraction or a budget by largest
    remainder, in proportion to their sizes.

    Args:
        labels: int64 [n].
        size: how much to keep.
        balance: whether to pick class by class.
        class_names: what errors call the classes; else by their labels.
        prune: what leaves out samples first; sizes are of all samples nevertheless.

    Raises:
        UserError: a size that leaves a class with nothing (says what is enough), that asks for more than there is or
            than ``prune`` leaves, or that knows classes where there is no balance.
    """
    n = len(labels)
    if not n:
        raise UserError("there are no samples to select from")
    if not balance and (size.unit == "ipc" or size.at_least_one):
        asked = "ipc" if size.unit == "ipc" else "at_least_one"
        raise UserError(f"{asked} is about each class, and unbalanced selection is over all at once; leave one out")
    sizes = dict(torch.stack(labels.unique(return_counts=True), dim=1).tolist()) if balance else {ALL: n}

    def name(label: int) -> str:
        return f"class {class_names[label]!r}" if class_names else f"class {label}"

    if size.unit == "ipc":
        return _within(_equal(sizes, int(size.amount), name), sizes, prune, size, name)
    total = round(size.amount * n) if size.unit == "fraction" else int(size.amount)
    if total > n:
        raise UserError(f"{size} is more than there is: {n} samples")
    if total < (len(sizes) if size.at_least_one else 1):
        least = len(sizes) if size.at_least_one else 1
        what = f"one of each of the {len(sizes)} classes" if size.at_least_one else f"one of the {n} samples"
        raise UserError(f"{size} is less than {what}; the smallest that works is {_as_asked(least, size, n)}")
    budgets = _at_least_one(sizes, total) if size.at_least_one else largest_remainder(sizes, total)
    empty = [label for label, budget in budgets.items() if budget == 0]
    if empty:
        others = f" and of {len(empty) - 1} more" if len(empty) > 1 else ""
        raise UserError(
            f"{size} gives none of the {sizes[empty[0]]} samples of {name(empty[0])}{others}; "
            + (f"at_least_one gives one of each, and {size.unit} " if total >= len(sizes) else f"{size.unit} ")
            + f"{_as_asked(_enough(sizes), size, n)} is enough"
        )
    return _within(budgets, sizes, prune, size, name)


def _within(
    budgets: dict[int, int],
    sizes: Mapping[int, int],
    prune: Prune | None,
    size: CoresetSize,
    name: Callable[[int], str],
) -> dict[int, int]:
    """Return the budgets. Raises UserError where one is more than ``prune`` leaves."""
    for label, budget in budgets.items():
        if prune is not None and budget > prune.left(sizes[label]):
            left = f"{prune.left(sizes[label])} of {sizes[label]} samples" + (
                f" of {name(label)}" if label != ALL else ""
            )
            raise UserError(f"prune {prune} leaves {left}, fewer than {size} asks for; take less of either")
    return budgets


def largest_remainder(sizes: Mapping[int, int], total: int) -> dict[int, int]:
    """Share ``total`` out in proportion to ``sizes``: whole parts first, then one each by the largest remainder.

    Equal remainders go to the class that stands first. Also known as the method of Hamilton, or of Hare and Niemeyer.
    """
    n = sum(sizes.values())
    shares = {label: total * size // n for label, size in sizes.items()}
    remainders = sorted(sizes, key=lambda label: -(total * sizes[label] % n))  # stable
    for label in remainders[: total - sum(shares.values())]:
        shares[label] += 1
    return shares


def _at_least_one(sizes: Mapping[int, int], total: int) -> dict[int, int]:
    """Share ``total`` of at least one a class out: classes that would get none get one, the others share the rest."""
    shares = largest_remainder(sizes, total)
    short = [label for label, share in shares.items() if share == 0]
    if not short:
        return shares
    rest = {label: size for label, size in sizes.items() if shares[label]}
    return shares | dict.fromkeys(short, 1) | _at_least_one(rest, total - len(short))


def _equal(sizes: Mapping[int, int], ipc: int, name: Callable[[int], str]) -> dict[int, int]:
    smallest = min(sizes, key=lambda label: sizes[label])
    if sizes[smallest] < ipc:
        raise UserError(
            f"ipc {ipc} is more than the {sizes[smallest]} samples of {name(smallest)}, the smallest; "
            f"the largest that works is {sizes[smallest]}"
        )
    return dict.fromkeys(sizes, ipc)


def _enough(sizes: Mapping[int, int]) -> int:
    """Return a total that gives every class one, where one less does not."""
    short, enough = 0, -(-sum(sizes.values()) // min(sizes.values()))
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if min(largest_remainder(sizes, middle).values()) else (middle, enough)
    return enough


def _as_asked(total: int, size: CoresetSize, n: int) -> str:
    return f"{smallest_fraction(total, n):.12g}" if size.unit == "fraction" else str(total)


def smallest_fraction(total: int, n: int) -> float:
    """Return a fraction of few digits at which round(fraction · n) is ``total``, hardly larger than the smallest."""
    digits = 3 + math.ceil(math.log10(n))
    step = 10.0**-digits
    fraction = round(math.ceil((total - 0.5) / n / step) * step, digits)
    return fraction if round(fraction * n) >= total else round(fraction + step, digits)
