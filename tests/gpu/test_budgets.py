"""How many kernels a piece of work may launch, and how often the host may wait for the GPU."""

from __future__ import annotations

import pytest
from gpu.counts import training


@pytest.mark.parametrize("held", ["on", "off"])
@pytest.mark.parametrize(("model", "launches"), [("MLP", 60), ("ConvNet", 75), ("ResNet18", 210)])
def test_a_training_waits_once_an_epoch_and_once_a_test(model, launches, held):
    found = training(model, held)
    assert found["a step"].waits == 0
    assert found["a step"].launches <= launches
    assert found["an epoch beside its steps"].waits == 1
    assert found["a test"].waits == 1
