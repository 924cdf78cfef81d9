"""The scores of a training trace, against their definitions read sample by sample."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from method_problems import on_cpu

from methods import METHODS, select_coreset
from methods.aum import AUM
from methods.base import SelectionInputs
from methods.confidence import Confidence
from methods.dynunc import DynUnc
from methods.el2n import EL2N
from methods.loss import Loss
from methods.score_method import TraceMethod
from utils.errors import UserError
from utils.training.training_trace import TrainingTrace

EPOCHS, SAMPLES, CLASSES = 7, 9, 4
LOGITS = 3 * torch.randn(EPOCHS, SAMPLES, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(SAMPLES) % CLASSES


def traced(logits: torch.Tensor, labels: torch.Tensor) -> TrainingTrace:
    """The trace of logits [epochs, n, C]."""
    trace = TrainingTrace(len(labels), len(logits))
    for epoch, each in enumerate(logits):
        trace.observe(epoch, torch.arange(len(labels)), trace.measure(each, labels))
    return trace


def confidences(sample: list[list[float]], label: int) -> list[float]:
    """p_y in each epoch."""
    return [math.exp(f[label]) / sum(map(math.exp, f)) for f in sample]


def el2n(sample: list[list[float]], label: int, early: int) -> float:
    norms = []
    for f in sample[:early]:
        p = [math.exp(each) / sum(map(math.exp, f)) for each in f]
        norms.append(math.sqrt(sum((each - (c == label)) ** 2 for c, each in enumerate(p))))
    return statistics.fmean(norms)


def aum(sample: list[list[float]], label: int) -> float:
    return statistics.fmean(f[label] - max(f[:label] + f[label + 1 :]) for f in sample)


def loss(sample: list[list[float]], label: int) -> float:
    return statistics.fmean(-math.log(p) for p in confidences(sample, label))


def confidence(sample: list[list[float]], label: int) -> float:
    return statistics.fmean(confidences(sample, label))


def dynunc(sample: list[list[float]], label: int, window: int) -> float:
    p = confidences(sample, label)
    window = min(window, len(p))
    return statistics.fmean(statistics.stdev(p[k : k + window]) for k in range(max(len(p) - window, 1)))


@pytest.mark.parametrize(
    ("method", "literal"),
    [
        (EL2N(early_epochs=3), lambda f, y: el2n(f, y, 3)),
        (EL2N(), lambda f, y: el2n(f, y, EPOCHS)),
        (AUM(), aum),
        (Loss(), loss),
        (Confidence(), confidence),
        (DynUnc(window=4), lambda f, y: dynunc(f, y, 4)),
        (DynUnc(), lambda f, y: dynunc(f, y, 10)),
    ],
    ids=["EL2N-3", "EL2N", "AUM", "Loss", "Confidence", "DynUnc-4", "DynUnc"],
)
def test_against_the_definition(method, literal):
    found = method.score(traced(LOGITS, LABELS)).tolist()
    expected = [literal(LOGITS[:, i].tolist(), int(LABELS[i])) for i in range(SAMPLES)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_by_hand():
    """Two classes, label 0, logits [m, 0]: margins m over two epochs, with p_y = 1 / (1 + e⁻ᵐ) of ½, ⅔, ⅘, ¼."""
    margins = torch.tensor([[0.0, math.log(2), math.log(4)], [math.log(2), math.log(2), -math.log(3)]])
    trace = traced(torch.stack([margins, torch.zeros(2, 3)], dim=2), torch.zeros(3).long())
    assert AUM().score(trace).tolist() == pytest.approx([math.log(2) / 2, math.log(2), math.log(4 / 3) / 2])
    assert Confidence().score(trace).tolist() == pytest.approx([7 / 12, 2 / 3, 21 / 40])
    assert Loss().score(trace).tolist() == pytest.approx([math.log(3) / 2, math.log(1.5), math.log(5) / 2])
    assert EL2N().score(trace).tolist() == pytest.approx([math.sqrt(2) * p for p in (5 / 12, 1 / 3, 19 / 40)])
    assert EL2N(early_epochs=1).score(trace).tolist() == pytest.approx(
        [math.sqrt(2) * p for p in (1 / 2, 1 / 3, 1 / 5)]
    )
    assert DynUnc().score(trace).tolist() == pytest.approx([1 / 6 / math.sqrt(2), 0, 11 / 20 / math.sqrt(2)], abs=1e-7)


def test_dynamic_uncertainty_by_hand():
    """p_y = ½, ⅔, ½, ¼: the windows of two epochs deviate by ⅙/√2, ⅙/√2 and ¼/√2, and the last does not count."""
    margins = torch.tensor([0.0, math.log(2), 0.0, -math.log(3)])
    trace = traced(torch.stack([margins, torch.zeros(4)], dim=1)[:, None], torch.zeros(1).long())
    assert DynUnc(window=2).score(trace).tolist() == pytest.approx([1 / 6 / math.sqrt(2)])
    assert DynUnc(window=3).score(trace).tolist() == pytest.approx([1 / 6 / math.sqrt(3)])
    assert DynUnc(window=4).score(trace).tolist() == pytest.approx([statistics.stdev([1 / 2, 2 / 3, 1 / 2, 1 / 4])])


@pytest.mark.parametrize(
    ("method", "hardest_first"),
    [(EL2N(), [1, 0, 2]), (AUM(), [2, 0, 1]), (Loss(), [1, 0, 2]), (Confidence(), [2, 0, 1]), (DynUnc(), [1, 0, 2])],
    ids=str,
)
def test_the_hardest_come_first(method, hardest_first):
    inputs = SelectionInputs(torch.zeros(3).long(), scores=torch.tensor([0.5, 0.75, 0.25]))
    assert method.pick(inputs, 3, on_cpu()).indices.tolist() == hardest_first


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if issubclass(method, TraceMethod)])
def test_one_look_at_a_network_is_a_trace(name):
    """As -se 0 gives: every score exists, and picks of it too."""
    trace = TrainingTrace.of_one_look(LOGITS[0], LABELS)
    scores = METHODS[name]().score(trace)
    assert scores.shape == (SAMPLES,)
    assert not scores.isnan().any()
    assert len(select_coreset(name, labels=LABELS, scores=scores, fraction=1)) == SAMPLES


def test_a_call_without_scores_says_what_is_missing():
    with pytest.raises(UserError, match=r"AUM needs a training trace.*main.py --selection AUM, or pass scores="):
        select_coreset("AUM", labels=LABELS, fraction=0.5)
