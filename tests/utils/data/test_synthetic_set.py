"""The synthetic set as a value and as a file that somebody else may have made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from utils.config import SelectionConfig, TrainingConfig
from utils.data.batches import Batches
from utils.data.coreset import Coreset
from utils.data.small_set import load_small_set
from utils.data.synthetic_set import SyntheticSet
from utils.errors import UserError
from utils.files import write_npz
from utils.records.contact_sheet import synthetic_sheet

IMAGES = np.linspace(-20, 300, 6 * 64, dtype=np.float32).reshape(6, 1, 8, 8)
LABELS = np.arange(6) // 2


SELECTION = SelectionConfig("DSA", options={"ipc": 2, "rho": 1.0}, model="ConvNet", proxy=TrainingConfig())


def test_round_trip(tmp_path):
    SyntheticSet(IMAGES, LABELS, SELECTION).save(tmp_path / "s.npz")
    read = load_small_set(tmp_path / "s.npz")
    assert isinstance(read, SyntheticSet)
    assert np.array_equal(read.images, IMAGES)
    assert np.array_equal(read.labels, LABELS)
    assert (read.method, len(read), read.selection) == ("DSA", 6, SELECTION)
    assert read.digest() == SyntheticSet(IMAGES, LABELS).digest()
    assert read.digest() != SyntheticSet(IMAGES + 1, LABELS).digest()
    assert read.digest() != SyntheticSet(IMAGES, LABELS[::-1]).digest()
    with pytest.raises(ValueError, match="read-only"):
        read.images[0] = 0


def test_a_file_of_an_earlier_version_or_from_elsewhere(tmp_path):
    write_npz(tmp_path / "named.npz", {"images": IMAGES, "labels": LABELS, "method": np.array("DM")})
    assert SyntheticSet.load(tmp_path / "named.npz").selection == SelectionConfig("DM")
    np.savez(tmp_path / "bare.npz", images=IMAGES, labels=LABELS)
    assert SyntheticSet.load(tmp_path / "bare.npz").method == "synthetic"


def test_indices_make_it_a_coreset(tmp_path):
    np.savez(tmp_path / "s.npz", images=IMAGES, indices=np.arange(3))
    assert isinstance(load_small_set(tmp_path / "s.npz"), Coreset)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": IMAGES},
        {"labels": LABELS},
        {"images": IMAGES.astype(np.float64), "labels": LABELS},
        {"images": IMAGES[:, 0], "labels": LABELS},
        {"images": IMAGES[:0], "labels": LABELS[:0]},
        {"images": IMAGES, "labels": LABELS[:5]},
        {"images": IMAGES, "labels": LABELS[:, None]},
        {"images": IMAGES, "labels": LABELS - 1},
        {"images": IMAGES, "labels": LABELS.astype(np.float32)},
        {"images": np.where(IMAGES > 299, np.nan, IMAGES), "labels": LABELS},
        {"images": np.where(IMAGES > 299, np.inf, IMAGES), "labels": LABELS},
        {"images": np.array([object()] * 6), "labels": LABELS},
        {"images": IMAGES, "labels": LABELS, "method": np.array("../../elsewhere")},
        {"images": IMAGES, "labels": LABELS, "method": np.array("")},
        {"images": IMAGES, "labels": LABELS, "method": np.arange(9)},
        {"images": IMAGES, "labels": LABELS, "selection": np.array("{")},
        {"images": IMAGES, "labels": LABELS, "selection": np.array('{"methods": 1}')},
        {"images": IMAGES, "labels": LABELS, "selection": np.array('{"method": "../x"}')},
    ],
)
def test_a_hostile_file_is_refused_in_one_line(arrays, tmp_path):
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(UserError) as refused:
        SyntheticSet.load(tmp_path / "s.npz")
    assert "s.npz" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"no npz at all"])
def test_damaged_files(content, tmp_path):
    (tmp_path / "s.npz").write_bytes(content)
    for read in (SyntheticSet.load, load_small_set):
        with pytest.raises(UserError, match=r"s\.npz"):
            read(tmp_path / "s.npz")


def test_as_training_data(tiny_data):
    synthetic = SyntheticSet(IMAGES, LABELS)
    training_set = synthetic.training_set(tiny_data)
    data = training_set.data
    assert training_set.indices.tolist() == list(range(6))
    assert training_set.weights is None
    assert data.test is tiny_data.test
    assert data.pool.tolist() == list(range(6))
    assert data.train.labels.tolist() == LABELS.tolist()
    assert data.fingerprint != tiny_data.fingerprint
    [batch] = Batches(data.train, data.spec, data.pool, 6, device="cpu")
    mean, std = tiny_data.spec.mean[0], tiny_data.spec.std[0]
    np.testing.assert_allclose(batch.x.numpy(), (IMAGES / 255 - mean) / std, rtol=1e-4, atol=1e-5)


def test_images_are_resized_to_those_of_the_data(tiny_data):
    larger = dataclasses.replace(tiny_data, spec=dataclasses.replace(tiny_data.spec, im_size=16))
    assert SyntheticSet(IMAGES, LABELS).training_set(larger).data.train.images.shape == (6, 1, 16, 16)


def test_other_channels_and_classes_are_refused(tiny_data):
    with pytest.raises(UserError, match="channels"):
        SyntheticSet(np.repeat(IMAGES, 3, axis=1), LABELS).training_set(tiny_data)
    with pytest.raises(UserError, match="label 3"):
        SyntheticSet(IMAGES, LABELS + 1).training_set(tiny_data)


def test_a_picture_is_a_png():
    assert synthetic_sheet(SyntheticSet(IMAGES, LABELS), ("a", "b", "c"), "title").startswith(b"\x89PNG")


def of_photographs(tiny_data):
    """Synthetic images as the tiny data are: in units of 0 to 255."""
    return tiny_data.train.images[:6].numpy().astype(np.float32)


def test_images_in_other_units_are_refused(tiny_data):
    images = of_photographs(tiny_data)
    mean, std = tiny_data.spec.mean[0], tiny_data.spec.std[0]
    for wrong in (images / 255, (images / 255 - mean) / std, (images > 100).astype(np.uint8)):
        with pytest.raises(
            UserError, match=r"units of 0 to 255, and these lie in .* multiply images in \[0, 1\] by 255"
        ):
            SyntheticSet(wrong, LABELS).training_set(tiny_data)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x.mean(0, keepdims=True).repeat(6, 0), lambda x: x / 4])
def test_dull_and_dark_images_in_the_right_units_are_taken(tiny_data, change):
    assert len(SyntheticSet(change(of_photographs(tiny_data)), LABELS).training_set(tiny_data)) == 6


def test_what_a_set_was_learned_from_is_kept(tmp_path):
    SyntheticSet(IMAGES, LABELS, SELECTION, "60-a").save(tmp_path / "s.npz")
    assert SyntheticSet.load(tmp_path / "s.npz").train_images == "60-a"
    assert SyntheticSet(IMAGES, LABELS, SELECTION, "60-a").digest() == SyntheticSet(IMAGES, LABELS).digest()
