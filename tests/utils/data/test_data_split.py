from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.split import hold_out


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 3),
)
def test_each_class_gives_its_share_and_keeps_one(labels: list[int], ratio: float, seed: int) -> None:
    y = torch.tensor(labels)
    pool, held_out = hold_out(y, ratio, seed)
    assert sorted(pool.tolist() + held_out.tolist()) == list(range(len(y)))
    assert pool.tolist() == sorted(pool.tolist())
    assert held_out.tolist() == sorted(held_out.tolist())
    for label in set(labels):
        count = labels.count(label)
        wanted = 0 if count == 1 else min(max(round(count * ratio), 1), count - 1)
        assert abs(int((y[held_out] == label).sum()) - wanted) <= (abs(count * ratio % 1 - 0.5) < 1e-4)


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = torch.arange(100) % 5
    first = hold_out(labels, 0.2, 0)[1]
    torch.rand(7)
    assert torch.equal(first, hold_out(labels, 0.2, 0)[1])
    assert not torch.equal(first, hold_out(labels, 0.2, 1)[1])


def test_every_sample_is_held_out_at_some_seed() -> None:
    """Members are drawn from all of a class, not from its beginning."""
    labels = torch.arange(20) % 2
    seen = {index for seed in range(60) for index in hold_out(labels, 0.2, seed)[1].tolist()}
    assert seen == set(range(20))
