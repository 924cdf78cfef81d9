"""How many kernels a piece of work may launch, and how often the host may wait for the GPU."""

from __future__ import annotations

import pytest
from gpu.counts import adversarial, condensation, selection, training


@pytest.mark.parametrize("held", ["on", "off"])
@pytest.mark.parametrize(("model", "launches"), [("MLP", 60), ("ConvNet", 75), ("ResNet18", 210)])
def test_a_training_waits_once_an_epoch_and_once_a_test(model, launches, held):
    found = training(model, held)
    assert found["a step"].waits == 0
    assert found["a step"].launches <= launches
    assert found["an epoch beside its steps"].waits == 1
    assert found["a test"].waits == 1


@pytest.mark.parametrize(("method", "launches"), [("LCMat", 850), ("DSA", 620), ("DC", 550), ("DM", 160)])
def test_a_pixel_step_waits_once_and_an_inner_step_never(method, launches):
    found = condensation(method, real_batch=7)
    assert found["a pixel step"].waits == 1
    assert found["a pixel step"].launches <= launches
    if method != "DM":
        assert found["an inner step"].waits == 0
        assert found["an inner step"].launches <= 42


@pytest.mark.parametrize(
    ("method", "options", "launches"),
    [
        ("LCMat", {}, 22),
        ("LCMat", {"weighted": True}, 26),
        ("Craig", {}, 26),
        ("LCMatGC", {}, 20),
        ("LCMat", {"balance": False}, 20),
        ("Submodular", {"submodular": "LogDeterminant", "kernel": "cosine"}, 84),
    ],
    ids=str,
)
def test_a_pick_never_waits(method, options, launches):
    found = selection(method, **options)
    pick, rest = found.values()
    assert pick.waits == 0
    assert pick.launches <= launches
    assert rest.waits <= 6  # checks of what the call was given among them


@pytest.mark.parametrize(
    ("memory_budget", "launches", "waits"), [(1 << 18, 120, 4.1), (3 << 18, 40, 1)], ids=["rows anew", "pairs kept"]
)
def test_a_pick_from_a_matrix_that_is_not_held_waits_for_its_gain_and_for_rows(memory_budget, launches, waits):
    pick, _ = selection("LCMat", balance=False, memory_budget=memory_budget).values()
    assert pick.launches <= launches
    assert pick.waits <= waits


def test_a_step_of_deepfool_waits_for_the_images_that_are_left():
    step = adversarial()["a step"]
    assert step.waits <= 1
    assert step.launches <= 280
