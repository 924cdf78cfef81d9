"""A library call inside a program that set torch's defaults, and with tensors that are being trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from methods import METHODS, select_coreset
from methods.base import FEATURES

RANDOM = torch.Generator().manual_seed(0)
LABELS = torch.arange(60) % 3
EMBEDDINGS, LOGITS = torch.randn(60, 5, generator=RANDOM), torch.randn(60, 3, generator=RANDOM)
SCORES = torch.rand(60, generator=RANDOM)
BY_FEATURES = sorted(name for name, method in METHODS.items() if method.need and set(method().needs) <= set(FEATURES))


@pytest.fixture
def odd_defaults() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")  # what is made on it has no values
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def select(name: str, **inputs: Any) -> Any:
    return select_coreset(name, labels=LABELS, fraction=0.2, **inputs)


WANTED = {name: select(name, embeddings=EMBEDDINGS, logits=LOGITS) for name in BY_FEATURES}


@pytest.mark.usefixtures("odd_defaults")
@pytest.mark.parametrize("name", BY_FEATURES)
def test_defaults_of_the_caller_change_no_pick(name: str) -> None:
    found = select(name, embeddings=EMBEDDINGS, logits=LOGITS)
    assert np.array_equal(found.indices, WANTED[name].indices)
    assert torch.get_default_device().type == "meta"
    assert torch.get_default_dtype() == torch.float64


CORESET = select("Uniform")
CERTIFICATE = CORESET.certificate(EMBEDDINGS, LOGITS, LABELS)


@pytest.mark.usefixtures("odd_defaults")
def test_defaults_of_the_caller_change_no_certificate() -> None:
    assert CORESET.certificate(EMBEDDINGS, LOGITS, LABELS) == CERTIFICATE
    assert torch.get_default_device().type == "meta"
    assert torch.get_default_dtype() == torch.float64


def test_features_of_a_certificate_may_require_gradients() -> None:
    z, f = EMBEDDINGS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    assert CORESET.certificate(z, f, LABELS) == CERTIFICATE


@pytest.mark.usefixtures("odd_defaults")
def test_uniform_picks_need_no_features() -> None:
    assert len(select("Uniform")) == 12


@pytest.mark.parametrize("name", ["GraNd", "Forgetting"])
def test_scores_may_require_gradients(name: str) -> None:
    trained = SCORES.clone().requires_grad_()
    assert np.array_equal(select(name, scores=trained).indices, select(name, scores=SCORES).indices)
    assert trained.requires_grad


@pytest.mark.parametrize("name", BY_FEATURES)
def test_features_may_require_gradients(name: str) -> None:
    z, f = EMBEDDINGS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    assert np.array_equal(select(name, embeddings=z, logits=f).indices, WANTED[name].indices)
