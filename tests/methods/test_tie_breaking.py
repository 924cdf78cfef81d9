import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.base import highest
from methods.tie_breaking import first_highest, ranking


def test_the_first_of_equal_values_wins():
    assert first_highest(torch.tensor([1.0, 3.0, 3.0, 2.0], dtype=torch.float64)) == 1


def test_rounding_does_not_decide():
    above = torch.tensor([0.0, 1.0, 1.0 + 1e-13], dtype=torch.float64)
    assert first_highest(above) == 1
    assert ranking(above).tolist() == [1, 2, 0]


def test_a_true_difference_decides():
    above = torch.tensor([0.0, 1.0, 1.0 + 1e-6], dtype=torch.float64)
    assert first_highest(above) == 2
    assert ranking(above).tolist() == [2, 1, 0]


def test_differences_of_large_sums_are_equal_within_the_sums_rounding():
    values = torch.tensor([1e-6, 2e-6], dtype=torch.float64)
    assert first_highest(values) == 1
    assert first_highest(values, scale=1e7) == 0


def test_infinite_scores_are_ranked_first_and_last_and_tie_among_themselves():
    scores = torch.tensor([1.0, torch.inf, -torch.inf, torch.inf, 2.0, -torch.inf], dtype=torch.float64)
    assert ranking(scores).tolist() == [1, 3, 4, 0, 2, 5]


def test_small_scores_differ_as_large_ones_do():
    assert ranking(torch.tensor([1e-30, 3e-30, 0.0, 2e-30], dtype=torch.float64)).tolist() == [1, 3, 0, 2]


def test_nothing_is_ranked_as_nothing():
    assert ranking(torch.zeros(0, dtype=torch.float64)).tolist() == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_the_ranking_is_a_sort_by_score_and_index(scores):
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert ranking(torch.tensor(scores, dtype=torch.float64)).tolist() == expected
    assert first_highest(torch.tensor(scores, dtype=torch.float64)) == expected[0]


def test_highest_gives_the_scores_as_gains():
    picks = highest(torch.tensor([0.5, 2.0, 1.0]), 2)
    assert picks.indices.tolist() == [1, 2]
    assert picks.gains.tolist() == [2.0, 1.0]
