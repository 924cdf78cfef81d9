"""Scores from a file: whose they are, which column counts, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import make_data

from experiments.scores_file import load_scores, trace_scores
from methods.aum import AUM
from utils.config import DataConfig
from utils.errors import UserError
from utils.files import write_npz
from utils.records.export import write_scores
from utils.training.training_trace import TrainingTrace

DATA, CONFIG = make_data(train=12, held_out=2), DataConfig("Tiny")
LABELS = DATA.train.labels.numpy()


def test_rows_are_told_by_their_index_in_any_order(tmp_path: Path) -> None:
    indices = np.arange(11, -1, -1)
    write_npz(tmp_path / "a.npz", {"indices": indices, "labels": LABELS[indices], "mine": indices / 2})
    assert load_scores(tmp_path / "a.npz", DATA, CONFIG).difficulty(None).tolist() == [i / 2 for i in range(10)]


def test_without_an_index_they_stand_for_all_training_images(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine\n" + "\n".join(map(str, range(12))))
    given = load_scores(tmp_path / "a.csv", DATA, CONFIG)
    assert given.difficulty(None).tolist() == list(range(10))
    assert given.score(AUM()).tolist() == list(range(10))  # the only column, whatever it is called


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_a_file_says_of_which_images_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    scores = {"indices": np.arange(12), "labels": LABELS, "mine": np.arange(12) / 2}
    write_scores(path, {**scores, "train_images": np.array("12-a")})
    known = DataConfig("Tiny", train_images="12-a")
    assert load_scores(path, DATA, known).difficulty(None).tolist() == [i / 2 for i in range(10)]
    with pytest.raises(UserError, match="was made of other images than Tiny has"):
        load_scores(path, DATA, DataConfig("Tiny", train_images="12-b"))


def test_a_column_is_named_where_there_are_several_and_low_margins_are_hard(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"AUM": np.arange(12.0), "mine": np.arange(12) * 3.0})
    given = load_scores(tmp_path / "a.npz", DATA, CONFIG)
    assert given.difficulty("mine").tolist() == [3 * i for i in range(10)]
    assert given.difficulty("AUM").tolist() == [-i for i in range(10)]
    assert given.score(AUM()).tolist() == list(range(10))
    with pytest.raises(UserError, match="--score names one of AUM, mine"):
        given.difficulty(None)
    with pytest.raises(UserError, match="unknown score 'yours'"):
        given.difficulty("yours")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no table of scores"),
        ("mine\n1\n2,3\n", "is no table of scores"),
        ("mine\nhigh\n", "is no table of scores"),
        ("index,label\n0,0\n", "holds no scores"),
        ("mine\n1\n2\n", "leaves out 8 of the 10 images"),
        ("index,mine\n0,1\n1,2\n", "leaves out 8 of the 10 images"),
        ("index,mine\n0,1\n99,2\n", "has 2 samples"),
        ("mine\n" + "nan\n" * 12, "none NaN"),
        ("label,mine\n" + "0,1\n" * 12, "has other labels than Tiny"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_scores(tmp_path / "a.csv", DATA, CONFIG)
    assert "\n" not in str(caught.value)
    assert "a.csv" in str(caught.value)


def test_a_trace_gives_all_its_scores_at_once() -> None:
    trace = TrainingTrace.of_one_look(torch.eye(3), torch.arange(3))
    scores = trace_scores(trace)
    assert scores.keys() == {"EL2N", "AUM", "Loss", "Confidence", "DynUnc", "Forgetting"}
    assert torch.equal(scores["AUM"], trace.margin[0])
