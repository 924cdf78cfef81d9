import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import on_cpu

from methods import select_coreset
from methods.base import SelectionInputs
from methods.forgetting import Forgetting
from utils.errors import UserError
from utils.training.training_trace import TrainingTrace


def traced(history):
    """The scores of samples whose presentations went as ``history`` [epochs][n] says."""
    trace = TrainingTrace(len(history[0]), len(history))
    for epoch, correct in enumerate(history):
        logits = torch.tensor([[1.0, 0.0] if right else [0.0, 1.0] for right in correct])
        trace.observe(epoch, torch.arange(len(correct)), trace.measure(logits, torch.zeros(len(correct)).long()))
    return Forgetting().score(trace).tolist()


def test_by_hand():
    right, wrong = True, False
    history = [
        [right, wrong, wrong, right, wrong],
        [wrong, wrong, wrong, right, right],
        [right, wrong, right, right, wrong],
        [wrong, wrong, right, right, wrong],
    ]
    assert traced(history) == [2, math.inf, 0, 0, 1]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1)))
def test_against_a_literal_count(history):
    expected = []
    for sample in zip(*history, strict=True):
        events = sum(before and not after for before, after in itertools.pairwise(sample))
        expected.append(float(events) if any(sample) else math.inf)
    assert traced(history) == expected


def test_most_forgotten_first():
    picks = Forgetting().pick(SelectionInputs(torch.zeros(4).long(), scores=torch.tensor([1.0, 0, 3, 1])), 4, on_cpu())
    assert picks.indices.tolist() == [2, 0, 3, 1]


def test_fault_never_learned_samples_rank_hardest():
    scores = traced([[True, False, False], [False, False, False], [True, False, True], [False, False, True]])
    coreset = select_coreset("Forgetting", labels=np.zeros(3, dtype=int), scores=scores, fraction=1.0)
    assert coreset.indices.tolist() == [1, 0, 2]


def test_a_call_without_scores_says_what_is_missing():
    with pytest.raises(UserError, match=r"Forgetting needs a training trace.*pass scores=") as caught:
        select_coreset("Forgetting", labels=np.zeros(3, dtype=int), fraction=1.0)
    assert "\n" not in str(caught.value)
