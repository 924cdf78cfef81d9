"""Label noise: drawn as its definition reads, from the seed alone, and never on test images."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.config import DataConfig
from utils.data.label_noise import confusion_matrix, noisy_labels, read_label_noise
from utils.data.load import load_data
from utils.errors import UserError
from utils.files import content_digest
from utils.seeding import generator

MATRIX = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]], dtype=torch.float64)


def literal(labels: list[int], confusion: list[list[float]], seed: int) -> list[int]:
    """Class by class: its images in the shuffled order, each with the label at its quantile of the row."""
    random = generator(seed, "label noise")
    order = torch.randperm(len(labels), generator=random).tolist()
    offsets = torch.rand(len(confusion), generator=random, dtype=torch.float64).tolist()
    drawn = list(labels)
    for label, row in enumerate(confusion):
        members = [i for i in order if labels[i] == label]
        for place, i in enumerate(members):
            quantile, reached, new = (place + offsets[label]) / len(members), row[0], 0
            while new < len(row) - 1 and quantile >= reached:
                new += 1
                reached += row[new]
            drawn[i] = new
    return drawn


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 5), st.floats(0.01, 0.99))
def test_against_a_literal_draw(labels: list[int], seed: int, rate: float) -> None:
    for confusion in (MATRIX, confusion_matrix(rate, 3)):
        drawn = noisy_labels(torch.tensor(labels), confusion, seed)
        assert drawn.tolist() == literal(labels, confusion.tolist(), seed)


def test_by_hand() -> None:
    """Half of class 0 becomes 1, class 1 stays, and class 2 becomes 0 in one case of four, and 1 in another."""
    labels = torch.tensor([0] * 4 + [1] * 3 + [2] * 8)
    drawn = noisy_labels(labels, MATRIX, seed=0)
    assert sorted(drawn[:4].tolist()) == [0, 0, 1, 1]
    assert drawn[4:7].tolist() == [1, 1, 1]
    assert sorted(drawn[7:].tolist()) == [0, 0, 1, 1, 2, 2, 2, 2]
    assert labels.tolist() == [0] * 4 + [1] * 3 + [2] * 8


@given(st.integers(1, 60), st.integers(0, 9), st.floats(0.01, 0.99))
def test_each_class_has_its_share_of_wrong_labels(n: int, seed: int, rate: float) -> None:
    labels = torch.arange(4).repeat_interleave(n)
    wrong = (noisy_labels(labels, confusion_matrix(rate, 4), seed) != labels).view(4, n).sum(dim=1)
    assert ((wrong - rate * n).abs() < 2).all()  # the right label's quantiles end inside [0, 1) at both of its ends


def test_every_image_is_mislabelled_at_the_rate() -> None:
    """Over 2,000 seeds: 0.3 · 2000 = 600 for each of 5 images of a class, give or take five standard deviations."""
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 2])
    confusion = confusion_matrix(0.3, 3)
    wrong = sum((noisy_labels(labels, confusion, seed) != labels).long() for seed in range(2000))
    assert ((wrong - 600).abs() < 5 * math.sqrt(2000 * 0.3 * 0.7)).all()


def test_a_seed_repeats_the_labels_and_another_gives_others() -> None:
    labels, confusion = torch.arange(200) % 4, confusion_matrix(0.4, 4)
    once, again, other = (noisy_labels(labels, confusion, seed) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_file_is_a_matrix_of_chances_or_counts(tmp_path: Path) -> None:
    chances, counts = tmp_path / "chances.csv", tmp_path / "counts.txt"
    chances.write_text("0.5,0.5,0\n0,1,0\n0.25,0.25,0.5\n")
    counts.write_text("4 4 0\n\n0 9 0\n2 2 4\n")
    for file in (chances, counts):
        assert torch.equal(confusion_matrix(str(file), 3), MATRIX)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0\n0", "not rows of numbers"),
        ("1 zero\n0 1", "not rows of numbers"),
        ("", "must hold 2 rows of 2 numbers"),
        ("1 0 0\n0 1 0", "found 2 x 3"),
        ("1 0\n-1 2", "must hold 2 rows"),
        ("1 0\n0 0", "no row of zeros"),
        ("1 0\n0 nan", "must hold 2 rows"),
        ("1 0\n0 inf", "must hold 2 rows"),
    ],
)
def test_no_such_matrix_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "matrix.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        confusion_matrix(str(file), 2)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "matrix.txt"
    file.write_text("1 0\n0 1\n")
    content = content_digest(file)
    confusion_matrix(str(file), 2, content)
    file.write_text("1 1\n0 1\n")
    with pytest.raises(UserError, match="was changed"):
        confusion_matrix(str(file), 2, content)


def test_noise_between_fewer_than_two_classes_is_refused() -> None:
    with pytest.raises(UserError, match="at least two classes"):
        confusion_matrix(0.2, 1)


def test_the_flag_reads_a_rate_or_a_file() -> None:
    assert read_label_noise("0.25") == 0.25
    assert read_label_noise("confusion.csv") == "confusion.csv"
    for text in ("0", "1", "-0.2", "nan"):
        with pytest.raises(UserError, match=r"a number in \(0, 1\)"):
            read_label_noise(text)


def test_training_labels_are_made_wrong_and_test_labels_are_not() -> None:
    clean, noisy, other = (
        load_data(DataConfig("Digits", label_noise=rate), seed=seed) for rate, seed in ((None, 0), (0.2, 0), (0.2, 1))
    )
    assert clean.wrong is None
    assert noisy.wrong is not None
    assert torch.equal(noisy.wrong, noisy.train.labels != clean.train.labels)
    assert float(noisy.wrong.double().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(noisy.test.labels, clean.test.labels)
    assert len({clean.fingerprint, noisy.fingerprint, other.fingerprint}) == 3  # so that no proxy is shared


def test_held_out_images_are_drawn_by_the_labels_that_are_known() -> None:
    data = load_data(DataConfig("Digits", val=True, label_noise=0.2), seed=3)
    plain = load_data(DataConfig("Digits", label_noise=0.2), seed=3)
    assert torch.equal(data.train.labels, plain.train.labels)
    held_out = data.train.labels[data.held_out].bincount()
    assert torch.equal(held_out, (data.train.labels.bincount() * 0.2).round().long())
