"""Whatever features any method is given, it answers with a coreset of the right size or with a UserError.

``FUZZ_EXAMPLES=100000 pytest tests/faults/test_fuzz_features.py`` tries many.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inputs import examples

from methods import METHODS, select_coreset
from methods.base import Need
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.files import write_npz

SPECIAL = [0.0, 1.0, 5e-324, 1e-310, 1e-45, 1e-38, 1e-8, 1e4, 65504.0, 1e19, 1e30, 3.4e38, 1e150, 1.7e308]
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
Draw = st.DrawFn

FLAVOURS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "ordinary": lambda dice, shape: dice.normal(size=shape),
    "confident": lambda dice, shape: 40 * dice.normal(size=shape),
    "repeated rows": lambda dice, shape: dice.normal(size=(3, shape[1]))[dice.integers(3, size=shape[0])],
    "constant": lambda dice, shape: np.full(shape, dice.normal()),
    "zero": lambda dice, shape: np.zeros(shape),
    "denormal": lambda dice, shape: 1e-310 * dice.normal(size=shape),
    "huge": lambda dice, shape: 1e30 * dice.normal(size=shape),
    "largest": lambda dice, shape: 1.7e308 * dice.choice([-1, 1], size=shape),
    "of any size": lambda dice, shape: dice.choice(SPECIAL, size=shape) * dice.choice([-1, 1], size=shape),
    "one apart": lambda dice, shape: np.where(np.arange(shape[0])[:, None] == 0, 1e30, dice.normal(size=shape)),
    "whole numbers": lambda dice, shape: dice.integers(-2, 3, size=shape).astype(float),
}
FORMS: dict[str, Callable[[torch.Tensor], Any]] = {
    "tensor": lambda tensor: tensor,
    "array": lambda tensor: tensor if tensor.dtype == torch.bfloat16 else tensor.numpy(),
    "list": lambda tensor: tensor.tolist(),
    "view": lambda tensor: torch.stack([tensor, tensor], dim=-1)[..., 0],
    "parameter": lambda tensor: tensor.clone().requires_grad_(),
    "read-only": lambda tensor: np.broadcast_to(tensor.double().numpy(), tensor.shape),
}
SPOILED: dict[str, Callable[[torch.Tensor], Any]] = {
    "NaN": lambda tensor: tensor * math.nan,
    "infinite": lambda tensor: tensor / 0.0,
    "flat": lambda tensor: tensor.flatten(),
    "transposed": lambda tensor: tensor.T,
    "cubic": lambda tensor: tensor[None],
    "short": lambda tensor: tensor[1:],
    "no columns": lambda tensor: tensor[:, :0],
    "no rows": lambda tensor: tensor[:0],
    "whole": lambda tensor: tensor.nan_to_num().clamp(0, 9).long(),
    "truths": lambda tensor: tensor > 0,
    "complex": lambda tensor: tensor.to(torch.complex64),
    "words": lambda tensor: [["a"] * tensor.shape[1]] * len(tensor),
    "ragged": lambda tensor: [[0.0] * (row % 3) for row in range(len(tensor))],
    "None": lambda tensor: None,
    "sparse": lambda tensor: tensor.float().to_sparse(),
    "objects": lambda tensor: np.full(tensor.shape, None, dtype=object),
}
LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    "tensor": lambda labels: torch.tensor(labels),
    "array": lambda labels: labels,
    "int32": lambda labels: labels.astype(np.int32),
    "uint8": lambda labels: torch.tensor(labels.astype(np.uint8)),
    "list": lambda labels: labels.tolist(),
    "gaps": lambda labels: torch.tensor(labels - labels % 2),
    "one class": lambda labels: torch.tensor(labels * 0),
}
SPOILED_LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    "beyond": lambda labels: labels + 7,
    "far beyond": lambda labels: labels + 2**62,
    "negative": lambda labels: labels - 1,
    "uint64": lambda labels: labels.astype(np.uint64) + np.uint64(2**63),
    "floats": lambda labels: labels.astype(float),
    "truths": lambda labels: labels > 0,
    "words": lambda labels: [str(label) for label in labels],
    "a column": lambda labels: labels[:, None],
    "short": lambda labels: labels[1:],
    "one number": lambda labels: 3,
    "None": lambda labels: None,
}
OPTIONS: dict[str, list[Any]] = {
    "greedy": ["NaiveGreedy", "LazyGreedy", "StochasticGreedy", "ApproximateLazyGreedy"],
    "submodular": ["FacilityLocation", "GraphCut", "LogDeterminant"],
    "kernel": ["cosine", "worst", "adacore", "grad_l2"],
    "uncertainty": ["LeastConfidence", "Entropy", "Margin"],
    "num_dims": [1, 2, 100, 10**9],
    "weighted": [True, False],
    "released": [False],
    "pretrained": [False],
    "eps": [0.0, 0.05, 1.0, 1e-300, 1e30],
    "eta": [1e-300, 0.1, 10.0, 1e30],
    "early_epochs": [1, 10],
    "window": [2, 10],
    "beta": [0.0, 0.3, 0.999],
    "strata": [1, 50],
    "neighbours": [1, 10, 10**9],
    "gamma_f": [0.0, 1.0, 1e300],
    "gamma_r": [0.0, 1.0, 1e300],
    "keep": ["hardest", "easiest"],
}
SPOILED_OPTIONS = ["x", "", None, -1, 0, 1.5, math.nan, math.inf, 1e300, True, [1], "lazygreedy", "gRaPhCuT"]
SPOILED_REST: dict[str, list[Any]] = {
    "fraction": [0, -1, 2, math.nan, math.inf, 1e-9, "half", None, 1 + 1e-12, True],
    "memory_budget": [1, 1000, 0, -1, math.nan, "much"],
    "seed": [-1, 2**64, 1.5, "x", None],
    "temperature": [0, -1, math.nan, math.inf, "hot", None, True],
    "balance": [None, 2, "no"],
    "validation": [(), (None, None, None), ([[0.0]], [[0.0]], [0]), 1],
    "scores": ["high", [math.nan], torch.zeros(3, 3)],
    "nonsense": [1],
}
PARTS = ("embeddings", "logits", "labels", "options", *SPOILED_REST)


@st.composite
def calls(draw: Draw, name: str) -> dict[str, Any]:
    """The arguments of one call of ``select_coreset``: of all kinds that are sound, and two flaws at most."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    flawed = set(draw(st.lists(st.sampled_from(PARTS), max_size=2)))
    rows, classes = int(dice.integers(1, 25)), int(dice.integers(1, 6))

    def matrix(columns: int, rows: int, spoiled: bool) -> Any:
        values = FLAVOURS[draw(st.sampled_from(sorted(FLAVOURS)))](dice, (rows, columns))
        dtype = draw(st.sampled_from(FLOATS))
        limit = torch.finfo(dtype).max
        tensor = torch.from_numpy(values).clamp(-limit, limit).to(dtype)
        return (SPOILED if spoiled else FORMS)[draw(st.sampled_from(sorted(SPOILED if spoiled else FORMS)))](tensor)

    def labels(rows: int, spoiled: bool) -> Any:
        kinds = SPOILED_LABELS if spoiled else LABELS
        return kinds[draw(st.sampled_from(sorted(kinds)))](dice.integers(classes, size=rows))

    columns = int(dice.integers(1, 7))
    call = {
        "embeddings": matrix(columns, rows, "embeddings" in flawed),
        "logits": matrix(classes, rows, "logits" in flawed),
        "labels": labels(rows, "labels" in flawed),
        "fraction": draw(st.sampled_from([0.5, 0.9, 1.0, 1, float(dice.uniform(0.05, 1))])),
        "balance": draw(st.booleans()),
        "seed": int(dice.integers(2**62)),
        "temperature": draw(st.sampled_from([1.0, 1.0, "auto", 3, 1e-3, 1e6])),
    }
    fields = [field.name for field in dataclasses.fields(METHODS[name])]  # type: ignore[arg-type]
    for field in draw(st.lists(st.sampled_from(fields), unique=True)) if fields else ():
        values = SPOILED_OPTIONS if "options" in flawed else OPTIONS[field]
        call[field] = draw(st.sampled_from(values))
    if METHODS[name].takes_validation and draw(st.booleans()):
        call["validation"] = (matrix(columns, 6, False), matrix(classes, 6, False), labels(6, False))
    if {Need.TRACE, Need.REPEATS, Need.PIXELS, Need.DIFFICULTY} & set(METHODS[name]().needs):
        scores = dice.normal(size=rows).round(1)
        call["scores"] = np.where(dice.random(rows) < draw(st.sampled_from([0, 0.3])), math.inf, scores)
    for part in sorted(flawed & set(SPOILED_REST)):
        call[part] = draw(st.sampled_from(SPOILED_REST[part]))
    return call


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_coreset_or_a_user_error(name: str) -> None:
    outcomes = {"coreset": 0, "error": 0}

    @examples(100)
    @given(call=calls(name))
    def check(call: dict[str, Any]) -> None:
        try:
            coreset = select_coreset(name, **call)
        except UserError as error:
            assert str(error).strip()
            outcomes["error"] += 1
            return
        outcomes["coreset"] += 1
        labels = np.asarray(call["labels"]).astype(np.int64)
        assert len(coreset) == (len(labels) if name == "Full" else round(call["fraction"] * len(labels)))
        coreset.check_fits(len(labels))
        again = select_coreset(name, **call)
        assert np.array_equal(again.indices, coreset.indices)
        assert (again.weights is None) == (coreset.weights is None)

    check()
    assert outcomes["coreset"] >= min(5, sum(outcomes.values()) // 20), outcomes


ANY_ARRAY = hnp.arrays(
    st.one_of(
        hnp.scalar_dtypes(), hnp.unicode_string_dtypes(max_len=3), st.just(np.dtype([("a", "i8")])), st.just("S3")
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)


@examples(100)
@given(
    arrays=st.dictionaries(
        st.sampled_from(["indices", "weights", "gains", "labels"]),
        ANY_ARRAY | hnp.arrays(hnp.integer_dtypes(), st.integers(0, 6)) | hnp.arrays(np.float64, st.integers(0, 6)),
    )
)
def test_any_arrays_are_a_coreset_or_a_user_error(tmp_path_factory: pytest.TempPathFactory, arrays: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    write_npz(path, arrays)
    try:
        coreset = Coreset.load(path)
    except UserError:
        return
    assert coreset.indices.dtype == np.int64
    assert (coreset.indices >= 0).all()
    assert [int(index) for index in arrays["indices"]] == coreset.indices.tolist()
    assert coreset.weights is None or np.isfinite(coreset.weights).all()
