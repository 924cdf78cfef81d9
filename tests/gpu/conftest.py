"""A GPU for the tests that ask for one; nothing on it outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpu.pretended_gpu import PretendedGpu


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with PretendedGpu() as pretended:
        yield pretended
