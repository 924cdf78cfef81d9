"""Scenarios: in which steps the classes come, and which are refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from utils.errors import UserError
from utils.scenario import ScenarioConfig, read_class_order


@pytest.mark.parametrize(
    ("classes", "steps", "first", "sizes"),
    [
        (10, 5, None, [2] * 5),
        (10, 3, None, [4, 3, 3]),
        (10, 1, None, [10]),
        (100, 11, 50, [50] + [5] * 10),
        (3, 3, 1, [1] * 3),
    ],
)
def test_every_class_comes_once(classes, steps, first, sizes):
    order = ScenarioConfig(steps, first, ipc=1).classes(classes)
    assert [len(step) for step in order] == sizes
    assert sorted(label for step in order for label in step) == list(range(classes))
    assert all(list(step) == sorted(step) for step in order)


def test_order_seeds_differ_and_repeat():
    orders = [ScenarioConfig(order_seed=seed, ipc=1).classes(10) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_an_order_of_one_s_own():
    assert ScenarioConfig(2, class_order=(3, 0, 2, 1), ipc=1).classes(4) == ((0, 3), (1, 2))
    assert read_class_order("3, 0,2") == (3, 0, 2)


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (ScenarioConfig(steps=5, ipc=1), "5 steps do not share out 4 classes"),
        (ScenarioConfig(steps=3, first_step=3, ipc=1), "first has 3"),
        (ScenarioConfig(steps=1, first_step=3, ipc=1), "first has 3"),
        (ScenarioConfig(steps=2, memory=3), "--memory 4"),
        (ScenarioConfig(steps=2, class_order=(0, 1, 1, 2), ipc=1), "class 1 twice"),
        (ScenarioConfig(steps=2, class_order=(0, 1, 2), ipc=1), "each of 0 to 3"),
        (ScenarioConfig(steps=2, class_order=(0, 1, 2, 4), ipc=1), "each of 0 to 3"),
    ],
)
def test_what_cannot_be_is_refused(scenario, said):
    with pytest.raises(UserError, match=said):
        scenario.classes(4)


@pytest.mark.parametrize(
    ("scenario", "label"),
    [
        (ScenarioConfig(ipc=1), "memory, 5 steps, 1 image a class"),
        (ScenarioConfig(steps=1, ipc=2), "memory, 1 step, 2 images a class"),
        (ScenarioConfig(first_step=1, memory=50), "memory, 5 steps, 1 class first, 50 images"),
        (ScenarioConfig(protocol="joint"), "joint, 5 steps"),
        (ScenarioConfig(ipc=3, proxy_sees_memory=True), "memory, 5 steps, 3 images a class, proxy sees memory"),
    ],
)
def test_labels_tell_scenarios_apart(scenario, label):
    assert scenario.label == label


def test_a_memory_is_shared_out_evenly():
    scenario = ScenarioConfig(memory=50)
    assert [scenario.quota(seen) for seen in (2, 4, 6, 8, 10)] == [25, 12, 8, 6, 5]
    assert [ScenarioConfig(ipc=7).quota(seen) for seen in (2, 10)] == [7, 7]


def test_settings_survive_json():
    scenario = ScenarioConfig(class_order=(1, 0), memory=9, protocol="replay")
    assert ScenarioConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(scenario)))) == scenario
