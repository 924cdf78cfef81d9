"""The trace holds what the logits said, sample by sample and epoch by epoch, and goes on from its state."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.training.training_trace import TrainingTrace

logit = st.floats(-30, 30, width=32)


def literal(logits: list[float], label: int) -> tuple[float, float, float, bool]:
    """Loss, margin, error and correctness of one sample, as they are defined."""
    top = max(logits)
    p = [math.exp(each - top) / sum(math.exp(other - top) for other in logits) for each in logits]
    loss = math.log(sum(math.exp(each - top) for each in logits)) + top - logits[label]
    margin = logits[label] - max(each for c, each in enumerate(logits) if c != label)
    error = math.sqrt(sum((each - (c == label)) ** 2 for c, each in enumerate(p)))
    return loss, margin, error, logits.index(top) == label


@given(st.lists(st.lists(logit, min_size=4, max_size=4), min_size=1, max_size=6), st.integers(0, 3))
def test_against_the_definitions(logits: list[list[float]], label: int) -> None:
    trace = TrainingTrace.of_one_look(torch.tensor(logits, dtype=torch.float64), torch.full((len(logits),), label))
    for i, sample in enumerate(logits):
        loss, margin, error, correct = literal(sample, label)
        assert float(trace.loss[0, i]) == pytest.approx(loss, rel=1e-6, abs=1e-6)
        assert float(trace.confidence[0, i]) == pytest.approx(math.exp(-loss), rel=1e-6, abs=1e-6)
        assert float(trace.margin[0, i]) == pytest.approx(margin, rel=1e-6, abs=1e-6)
        assert float(trace.error[0, i]) == pytest.approx(error, rel=1e-6, abs=1e-6)
        assert bool(trace.correct[0, i]) == correct


def test_by_hand() -> None:
    """Logits log 1, log 2, log 5: p = ⅛, ¼, ⅝."""
    trace = TrainingTrace.of_one_look(
        torch.tensor([[1.0, 2.0, 5.0]] * 2, dtype=torch.float64).log(), torch.tensor([2, 0])
    )
    assert trace.confidence[0].tolist() == pytest.approx([5 / 8, 1 / 8])
    assert trace.loss[0].tolist() == pytest.approx([math.log(8 / 5), math.log(8)])
    assert trace.margin[0].tolist() == pytest.approx([math.log(5 / 2), -math.log(5)])
    assert trace.error[0].tolist() == pytest.approx([math.sqrt(1 + 4 + 9) / 8, math.sqrt(49 + 4 + 25) / 8])
    assert trace.correct[0].tolist() == [True, False]


def test_what_a_sure_network_says_is_told_apart() -> None:
    """1 − p_y = e⁻²⁰ and e⁻³⁰, far below float32's steps at 1."""
    trace = TrainingTrace.of_one_look(torch.tensor([[20.0, 0.0], [30.0, 0.0]]), torch.zeros(2).long())
    assert trace.loss[0].tolist() == pytest.approx([math.exp(-20), math.exp(-30)], rel=1e-6)
    assert trace.error[0].tolist() == pytest.approx([math.sqrt(2) * math.exp(-20), math.sqrt(2) * math.exp(-30)])


def batch(trace: TrainingTrace, epoch: int, positions: list[int], margins: list[float]) -> None:
    """One batch of samples of class 0 with these margins."""
    logits = torch.tensor([[margin, 0.0] for margin in margins])
    trace.observe(epoch, torch.tensor(positions), trace.measure(logits, torch.zeros(len(margins)).long()))


def test_batches_in_any_order_are_told_apart_by_position_and_epoch() -> None:
    trace = TrainingTrace(4, 2)
    for epoch, positions, margins in [
        (0, [2, 0], [2, 0.5]),
        (0, [3, 1], [3, 1]),
        (1, [0, 3], [-1, -4]),
        (1, [1, 2], [-2, -3]),
    ]:
        batch(trace, epoch, positions, margins)
    assert trace.margin.tolist() == [[0.5, 1, 2, 3], [-1, -2, -3, -4]]
    assert trace.margin.dtype == torch.float64


def test_it_goes_on_from_its_state_in_the_middle_of_an_epoch() -> None:
    first, second = TrainingTrace(3, 2), TrainingTrace(3, 2)
    batch(first, 0, [0, 1, 2], [1, 2, 3])
    batch(first, 1, [2, 0], [4, 5])
    state = first.state_dict()
    second.load_state_dict(state)
    for trace in (first, second):
        batch(trace, 1, [1], [6])
        assert trace.margin.tolist() == [[1, 2, 3], [5, 6, 4]]
    assert torch.equal(first.rows, second.rows)
    assert state["rows"][1].isnan().any()  # what came later did not change the state


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (TrainingTrace(4, 1), "3 samples and 1 epochs, where there are 4 and 1"),
        (TrainingTrace(3, 0), "where there are 3 and 0"),
    ],
)
def test_a_state_of_another_training_is_refused(trace: TrainingTrace, message: str) -> None:
    other = TrainingTrace(3, 1)
    batch(other, 0, [0, 1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=message):
        trace.load_state_dict(other.state_dict())
