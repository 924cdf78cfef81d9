"""How much each class gives: exact totals, by largest remainder, with errors that name the class."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import problem

from methods import METHODS, make_method, select_coreset
from methods.base import SelectionInputs
from methods.budgets import ALL, budgets_for, largest_remainder, smallest_fraction
from methods.select import select, select_nested
from utils.coreset_size import CoresetSize
from utils.errors import UserError

counts = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def labels_of(*sizes: int) -> torch.Tensor:
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def fraction(amount: float, at_least_one: bool = False) -> CoresetSize:
    return CoresetSize("fraction", amount, at_least_one)


def literal_shares(sizes: list[int], total: int) -> list[int]:
    """Hand out the whole parts, then a sample at a time to the class that is owed most, the first on ties."""
    owed = [Fraction(total * size, sum(sizes)) for size in sizes]
    shares = [int(part) for part in owed]
    while sum(shares) < total:
        missing = [part - share for part, share in zip(owed, shares, strict=True)]
        shares[missing.index(max(missing))] += 1
    return shares


@given(sizes=counts, part=st.floats(0, 1))
def test_shares_are_the_literal_ones(sizes, part):
    total = round(part * sum(sizes))
    shares = largest_remainder(dict(enumerate(sizes)), total)
    assert list(shares.values()) == literal_shares(sizes, total)
    assert list(shares) == list(range(len(sizes)))
    assert all(share <= size for share, size in zip(shares.values(), sizes, strict=True))


def test_a_fraction_gives_its_part_of_all_samples():
    """100 classes of 15 at 0.1: 150, where rounding class by class gave 200."""
    budgets = budgets_for(labels_of(*[15] * 100), fraction(0.1), True)
    assert sum(budgets.values()) == 150
    assert list(budgets.values()) == [2] * 50 + [1] * 50


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.2, 0.29, 0.3, 1.0])
def test_equal_classes_with_whole_shares_give_what_they_gave(part):
    budgets = budgets_for(labels_of(*[5000] * 10), fraction(part), True)
    assert list(budgets.values()) == [round(part * 5000)] * 10


def test_uneven_classes_share_by_size():
    labels = torch.tensor([0] * 10 + [1] * 25 + [3] * 7)
    assert budgets_for(labels, fraction(0.3), True) == {0: 3, 1: 8, 3: 2}
    assert budgets_for(labels, fraction(0.3), False) == {ALL: 13}
    assert budgets_for(labels, fraction(1.0), True) == {0: 10, 1: 25, 3: 7}
    assert budgets_for(labels, CoresetSize("budget", 13), True) == {0: 3, 1: 8, 3: 2}
    assert budgets_for(labels, CoresetSize("budget", 13), False) == {ALL: 13}
    assert budgets_for(labels, CoresetSize("ipc", 7), True) == {0: 7, 1: 7, 3: 7}


@given(sizes=counts, part=st.floats(0.01, 1))
def test_at_least_one_changes_only_classes_that_would_give_none(sizes, part):
    n, labels = sum(sizes), labels_of(*sizes)
    total = round(part * n)
    if total < len(sizes):
        with pytest.raises(UserError, match="is less than one of"):
            budgets_for(labels, fraction(part, True), True)
        return
    budgets = budgets_for(labels, fraction(part, True), True)
    plain = largest_remainder(dict(enumerate(sizes)), total)
    assert sum(budgets.values()) == total
    assert all(1 <= budget <= size for budget, size in zip(budgets.values(), sizes, strict=True))
    if min(plain.values()):
        assert budgets == plain
    assert all(budgets[label] <= max(1, share) for label, share in plain.items())


def test_a_long_tail_keeps_one_of_each():
    labels = labels_of(1000, 100, 10, 1, 1)
    with pytest.raises(UserError, match="none of the 10 samples of class 2 and of 2 more"):
        budgets_for(labels, CoresetSize("budget", 50), True)
    budgets = budgets_for(labels, CoresetSize("budget", 50, True), True)
    assert list(budgets.values()) == [43, 4, 1, 1, 1]


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (fraction(0.05), "none of the 4 samples of class 'newt'"),
        (CoresetSize("budget", 3), "none of the 4 samples of class 'newt'"),
        (CoresetSize("ipc", 5), "4 samples of class 'newt', the smallest; the largest that works is 4"),
    ],
)
def test_errors_name_the_class(size, said):
    with pytest.raises(UserError, match=said):
        budgets_for(labels_of(40, 4, 20), size, True, ("cat", "newt", "dog"))


@settings(deadline=None)
@given(sizes=counts, unit=st.sampled_from(["fraction", "budget"]))
def test_what_errors_say_is_enough_is_enough_and_hardly_more(sizes, unit):
    labels = labels_of(*sizes)
    smallest = CoresetSize("fraction", 1e-9) if unit == "fraction" else CoresetSize("budget", 1)
    if unit == "budget" and len(sizes) == 1:
        assert budgets_for(labels, smallest, True) == {0: 1}
        return

    def named(size: CoresetSize) -> CoresetSize:
        with pytest.raises(UserError) as caught:
            budgets_for(labels, size, True)
        text = re.search(rf"(?:{unit}|smallest that works is) ([0-9.]+)(?: is enough)?$", str(caught.value))[1]
        return CoresetSize(unit, float(text) if unit == "fraction" else int(text))

    one = named(smallest) if unit == "fraction" else smallest
    assert budgets_for(labels, one, False) == {ALL: 1}
    enough = named(one) if len(sizes) > 1 else one
    total = sum(budgets_for(labels, enough, True).values())
    assert min(largest_remainder(dict(enumerate(sizes)), total - 1).values()) == 0


@pytest.mark.parametrize("n", [*range(1, 40), 73, 500, 732, 1300, 5000, 49_999, 1_281_167])
def test_the_smallest_fraction_gives_its_total_and_is_hardly_too_large(n):
    for total in {1, -(-n // 3), n}:
        smallest = smallest_fraction(total, n)
        assert round(smallest * n) == total
        assert round((smallest - 2e-3 / n) * n) < total or smallest == 1


@pytest.mark.parametrize("amount", [0, -1, 2.5, True, "3", np.float64(2)])
def test_numbers_of_samples_are_whole(amount):
    with pytest.raises(UserError, match="whole number of at least 1"):
        CoresetSize("budget", amount)


@pytest.mark.parametrize("name", ["LCMat", "Craig"])
def test_several_sizes_share_a_selection_though_a_class_gives_less_to_the_larger(name):
    """Alabama's paradox: of 6, 6 and 2 samples a budget of 10 takes 4, 4, 2 and one of 11 takes 5, 5, 1."""
    labels = labels_of(6, 6, 2)
    features = problem(n=14, labels=labels).features
    inputs, method = SelectionInputs(labels, features), make_method(name)
    wanted = [budgets_for(labels, CoresetSize("budget", size), True) for size in (10, 11)]
    assert [list(budgets.values()) for budgets in wanted] == [[4, 4, 2], [5, 5, 1]]
    together = select_nested(method, inputs, wanted)
    assert method.nested == (name == "LCMat")
    for budgets, coreset in zip(wanted, together, strict=True):
        assert coreset.indices.tolist() == select(method, inputs, budgets).indices.tolist()


@pytest.mark.parametrize("name", [name for name in METHODS if name in ("Uniform", "LCMat", "GradMatch", "Craig")])
def test_the_library_call_takes_every_kind_of_size(name):
    features = problem(n=47).features
    given_ = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}

    def sizes(**size: object) -> list[int]:
        picks = select_coreset(name, **given_, **size).indices
        return np.bincount(features.labels.numpy()[picks], minlength=3).tolist()

    assert sizes(ipc=3) == [3, 3, 3]
    assert sum(sizes(budget=7)) == sum(sizes(budget=7, balance=False)) == 7
    assert sum(sizes(fraction=0.1, at_least_one=True)) == round(4.7)
