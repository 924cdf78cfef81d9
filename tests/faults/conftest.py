"""What several tests of faults compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from inputs import Scene, make_scene
from reference_runs import COMMANDS, UNIFORM, Undisturbed


@pytest.fixture(scope="session")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run without a proxy, left alone."""
    return Undisturbed.of(UNIFORM, tmp_path_factory.mktemp("uniform"))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run with all stages, left alone."""
    return Undisturbed.of(COMMANDS["LCMat"], tmp_path_factory.mktemp("told"))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Where made-up command lines are given."""
    return make_scene(tmp_path, monkeypatch)
