"""The selection benchmark: its yardstick solves the same problem, and its numbers are what it says they are."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import dense, growth, imagenet, measure, settings, shapes
from methods.base import SelectionInputs
from methods.budgets import budgets_for
from methods.lcmat import LCMat
from methods.select import select
from utils.coreset_size import CoresetSize


def test_the_dense_way_gives_the_same_picks_in_float64():
    features = shapes.one_class(150, dtype=torch.float64)
    np.testing.assert_array_equal(settings.lcmat(features, 0.2), dense.dense_lcmat(features, 30))


def test_shapes_are_as_named_and_mostly_right():
    for features, classes in ((shapes.one_class(300), 10), (shapes.even(2000, 100), 100)):
        assert features.embeddings.shape == (len(features), shapes.DIMENSIONS)
        assert features.logits.shape == (len(features), classes)
        right = (features.logits.argmax(dim=1) == features.labels).double().mean()
        assert 0.7 < right < 1


def test_classes_of_imagenet_add_up_to_its_images():
    sizes = shapes.imagenet_sizes()
    assert sizes.sum() == 1_281_167
    assert len(sizes) == 1000
    assert sizes.max() == 1300


def test_the_clock_changes_no_pick_and_counts_every_phase():
    features = shapes.even(200)
    timed = imagenet.PhasedLCMat(eps=settings.EPS, num_dims=settings.NUM_DIMS)
    plain = LCMat(eps=settings.EPS, num_dims=settings.NUM_DIMS)
    timed.seconds.clear()
    budgets = budgets_for(features.labels, CoresetSize("fraction", 0.2), balance=True)
    picks = [select(method, SelectionInputs(features.labels, features), budgets).indices for method in (timed, plain)]
    np.testing.assert_array_equal(*picks)
    assert list(timed.seconds) == ["gradients and curvatures", "distances", "greedy"]
    assert min(timed.seconds.values()) > 0


def test_memory_is_what_work_takes_at_its_peak():
    megabytes = 64
    found = measure.measured(lambda: len(np.ones(megabytes << 20, dtype=np.uint8)))
    assert found.result == megabytes << 20
    assert found.peak_bytes == pytest.approx(megabytes << 20, rel=0.1)


def test_works_that_take_turns_are_told_by_first_result_and_median_seconds(monkeypatch):
    monkeypatch.setattr(measure, "_TURN", 1e-9)
    turns: list[str] = []

    def slow() -> int:
        turns.append("slow")
        time.sleep(0.3 if len(turns) == 3 else 0.02)
        return len(turns)

    works = [partial(measure.measured, work) for work in (slow, lambda: turns.append("fast"))]
    found = measure.taking_turns(*works, repeats=3)
    assert turns == ["slow", "fast"] * 3
    assert found[0].result == 1
    assert 0.02 <= found[0].seconds < 0.3


def test_a_turn_of_short_work_counts_with_the_median_of_its_calls(monkeypatch):
    monkeypatch.setattr(measure, "_TURN", 6.0)
    clock, calls = [0.0], iter([4.0, 1.0, 1.5, 9.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])

    def call(name: str, seconds: float, peak_bytes: int) -> measure.Measured:
        clock[0] += seconds
        return measure.Measured(name, seconds, peak_bytes)

    works = [lambda: call("short", next(calls), 7), lambda: call("long", 8.0, 9)]
    first, second = measure.taking_turns(*works, repeats=2)
    assert first == measure.Measured("short", (1.5 + 9.0) / 2, 7)
    assert second == measure.Measured("long", 8.0, 9)


def where_a_tensor_lies() -> int:
    """How far beyond the start of a page, where tensors begin that huge pages are asked for."""
    return torch.empty(32 << 20, dtype=torch.uint8).data_ptr() % 4096


def test_work_elsewhere_runs_with_the_huge_pages_asked_for():
    for value in "01":
        found = measure.Elsewhere(THP_MEM_ALLOC_ENABLE=value).measured(where_a_tensor_lies).result
        assert (found == 0) == (value == "1")


def test_a_selection_in_less_memory_is_set_beside_the_one_in_more(monkeypatch):
    monkeypatch.setattr(growth, "_SAMPLES", (300,))
    monkeypatch.setattr(growth, "_BOUND", 1)
    held = measure.measured(lambda: settings.lcmat(shapes.one_class(300, 10), 0.1, balance=False))
    assert growth._bounded(held).endswith("the same picks.")
    assert growth._bounded(replace(held, result=held.result[::-1])).endswith("OTHER picks.")


def test_exponents_are_those_of_power_laws():
    assert growth.exponent({n: 3.0 * n**1.7 for n in (10, 50, 1000)}) == pytest.approx(1.7)
