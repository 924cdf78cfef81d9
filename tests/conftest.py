"""What all tests share: one thread a process, and a small data set."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import torch
from tiny_data import make_data

from utils.data.load import Data

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background inherit that it is ignored


@pytest.fixture(autouse=True)
def leave_no_algorithms_refused() -> Iterator[None]:
    """--deterministic holds for a process: a script's own, or that of all tests."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tiny_data() -> Data:
    """Three classes of 1×8×8 images that a network can tell apart: 60 to train on, 30 to test on."""
    return make_data()
