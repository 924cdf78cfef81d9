"""Any features at all: a coreset, or an error of one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from methods import select_coreset
from methods.greedy.optimizers import GREEDIES
from utils.errors import UserError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_overflows_is_refused(dtype):
    largest = float(np.finfo(dtype).max)
    random = np.random.default_rng(6)
    for size in (largest / 10, np.sqrt(largest), largest**0.25):
        z = (random.uniform(0.5, 1, size=(8, 3)) * size).astype(dtype)
        call = {"embeddings": z, "logits": random.normal(size=(8, 2)).astype(dtype), "labels": np.zeros(8, dtype=int)}
        try:
            coreset = select_coreset("LCMat", **call, fraction=0.5)
        except UserError as error:
            assert "too large" in str(error)
        else:
            assert len(coreset) == 4
            assert np.isfinite(coreset.gains).all()
    assert len(coreset) == 4, "the smallest of these sizes is not too large"


numbers = st.floats(width=32) | st.sampled_from([0.0, 2.0**-149, 2.0**-126, 2.0**100, 2.0**127])
ordinary = st.floats(-100, 100, width=32)


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Features of a few samples; one time in two the numbers are ordinary, and nearly always the lengths agree."""
    n = draw(st.integers(0, 6))
    elements = draw(st.sampled_from([numbers, ordinary]))
    lengths = draw(st.sampled_from([(n, n, n)] * 9 + [(n, n + 1, n)]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def matrix(rows: int) -> np.ndarray:
        return draw(arrays.arrays(np.float32, (rows, draw(st.integers(0, 3))), elements=elements)).astype(dtype)

    labels = draw(arrays.arrays(np.int16, lengths[2], elements=st.sampled_from([0, 0, 0, 1, 1, 2, -1])))
    return {"embeddings": matrix(lengths[0]), "logits": matrix(lengths[1]), "labels": labels}


@settings(deadline=None, max_examples=200)
@given(
    given_=inputs(),
    fraction=st.floats(-0.5, 1.5) | st.sampled_from([1.0, 0.5]),
    method=st.sampled_from(["LCMat", "Submodular", "AdaCore"]),
    greedy=st.sampled_from(list(GREEDIES)),
    balance=st.booleans(),
)
def test_any_input_gives_a_coreset_or_one_line(given_, fraction, method, greedy, balance):
    try:
        coreset = select_coreset(method, **given_, fraction=fraction, balance=balance, greedy=greedy)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert balance or len(coreset) == round(fraction * len(given_["labels"]))
        assert len(np.unique(coreset.indices)) == len(coreset)
        assert np.isfinite(coreset.gains).all()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_probabilities_in_the_place_of_logits_are_refused(dtype):
    draws = np.random.default_rng(0)
    z, f, y = draws.normal(size=(30, 4)), draws.normal(size=(30, 100)), np.arange(30) % 3
    probabilities = softmax(f).astype(dtype)
    with pytest.raises(UserError, match=r"these are probabilities .* before its softmax, or the logarithms"):
        select_coreset("LCMat", embeddings=z, logits=probabilities, labels=y, fraction=0.2)
    from_logarithms = select_coreset("LCMat", embeddings=z, logits=np.log(softmax(f)), labels=y, fraction=0.2)
    from_logits = select_coreset("LCMat", embeddings=z, logits=f, labels=y, fraction=0.2)
    assert np.array_equal(from_logarithms.indices, from_logits.indices)


@pytest.mark.parametrize("logits", [np.zeros((4, 3)), np.full((4, 2), 1.0), np.tile([0.0, 1.0, -1.0], (4, 1))])
def test_logits_that_are_no_distributions_are_taken(logits):
    coreset = select_coreset("LCMat", embeddings=np.eye(4), logits=logits, labels=np.zeros(4, int), fraction=0.5)
    assert len(coreset) == 2
