import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import on_cpu

from methods.base import SelectionInputs
from methods.ccs import CCS
from utils.errors import UserError
from utils.seeding import generator

score = st.integers(-20, 20).map(float)


def literal(difficulty, budget, beta, strata, seed):
    """Algorithm 1, on plain lists; the stratum's random order is the shuffle's."""
    n = len(difficulty)
    cut = min(round(beta * n), n - budget)
    hardest_first = sorted(range(n), key=lambda i: (-difficulty[i], i))
    kept = sorted(hardest_first[cut:])
    low, high = min(difficulty[i] for i in kept), max(difficulty[i] for i in kept)
    groups = [[] for _ in range(strata)]
    for place in torch.randperm(len(kept), generator=generator(seed, "strata")).tolist():
        i = kept[place]
        at = (difficulty[i] - low) / (high - low) * strata if high > low else 0
        groups[min(int(at), strata - 1)].append(i)
    picked = []
    waiting = sorted(groups, key=len)
    while waiting:
        smallest, quota = waiting[0], budget // len(waiting)
        picked += smallest[:quota]
        budget -= min(len(smallest), quota)
        waiting = waiting[1:]
    return picked


def picks(difficulty, budget, seed=0, **options):
    inputs = SelectionInputs(torch.zeros(len(difficulty)).long(), difficulty=torch.tensor(difficulty))
    return CCS(**options).pick(inputs, budget, on_cpu(seed)).indices.tolist()


@settings(deadline=None, max_examples=150)
@given(st.lists(score, min_size=1, max_size=30), st.floats(0, 1), st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 3))
def test_against_a_literal_algorithm(difficulty, share, beta, seed):
    budget = max(1, round(share * len(difficulty)))
    strata = 8  # a power of two, so that both ways round alike
    assert picks(difficulty, budget, seed, beta=beta, strata=strata) == literal(difficulty, budget, beta, strata, seed)


def test_by_hand():
    """β = 0.2 leaves out 8 and 9 of ten. Strata [0, 1) of six and [1, 2] of two: the small one gives both of four."""
    difficulty = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.9, 2.0, 5.0, 6.0]
    picked = picks(difficulty, 4, beta=0.2, strata=2)
    assert sorted(picked[:2]) == [6, 7]
    assert len(set(picked[2:]) & set(range(6))) == 2
    assert sorted(picks(difficulty, 7, beta=0.2, strata=2))[-2:] == [6, 7]  # two, and five of six


def test_every_stratum_that_has_samples_gives_some():
    difficulty = np.random.default_rng(0).exponential(size=500).tolist()  # few hard ones
    picked = np.array(difficulty)[picks(difficulty, 50, beta=0.0, strata=10)]
    edges = np.linspace(min(difficulty), max(difficulty), 11)
    counts, there = np.histogram(picked, edges)[0], np.histogram(difficulty, edges)[0]
    assert ((counts > 0) == (there > 0)).all()


def test_a_larger_budget_leaves_out_fewer():
    assert sorted(picks([1.0, 2, 3, 4], 4, beta=0.5)) == [0, 1, 2, 3]
    assert sorted(picks([1.0, 2, 3, 4], 3, beta=0.5)) == [0, 1, 2]


def test_infinite_scores_are_one_step_beyond_the_finite_ones():
    """Forgetting's never-learned samples: strata of 0, 1 and 2 events."""
    difficulty = [0.0, 0.0, 0.0, 1.0, 1.0, float("inf")]
    assert set(picks(difficulty, 3, beta=0.0, strata=3)) & {3, 4}
    assert 5 in picks(difficulty, 3, beta=0.0, strata=3)


@pytest.mark.parametrize("options", [{"beta": 1.0}, {"beta": -0.1}, {"strata": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UserError, match="CCS takes"):
        CCS(**options)
