"""Folders of features: written a part at a time, whole or not at all, and read as they are asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from method_problems import problem
from tiny_data import make_data

from experiments.feature_shards import ShardWriter, features_digest
from experiments.features_file import load_features
from methods.features import Features
from utils.config import DataConfig
from utils.data.images import MemoryImages
from utils.errors import UserError

CPU = torch.device("cpu")
DATA = make_data(held_out=8)
CONFIG = DataConfig("Tiny", train_images="60-0123456789abcdef")


def features_of_pool():
    labels = DATA.train.labels[DATA.pool]
    made = problem(n=len(labels), labels=labels).features
    return Features.of(made.embeddings.float(), made.logits.float(), labels)


def written(folder, sizes=(20, 1, 31), config=CONFIG):
    """The features of the pool, in a folder of as many shards."""
    features, writer = features_of_pool(), ShardWriter(folder, config.train_images)
    for number, part in enumerate(torch.arange(len(features)).split(list(sizes))):
        writer.add(number, features.subset(part), DATA.pool[part])
    writer.finish(writer.digests)
    return features


def test_what_was_written_in_parts_is_read_whole(tmp_path):
    features = written(tmp_path / "folder")
    found = load_features(tmp_path / "folder", DATA, CONFIG, CPU)
    some = torch.tensor([30, 0, 51])
    for name in ("embeddings", "logits", "labels"):
        assert torch.equal(getattr(found.read(), name), getattr(features, name))
        assert torch.equal(getattr(found.subset(some).read(), name), getattr(features, name)[some])
    assert len(list((tmp_path / "folder").glob("*.npy"))) == 12


def test_the_pool_may_be_a_part_of_it_in_another_order(tmp_path):
    features = written(tmp_path / "folder")
    positions = torch.tensor([5, 3, 40])
    found = load_features(tmp_path / "folder", replace(DATA, pool=DATA.pool[positions]), CONFIG, CPU)
    assert torch.equal(found.read().embeddings, features.embeddings[positions])
    with pytest.raises(UserError, match="leaves out 1 of the 2 images to select from"):
        load_features(tmp_path / "folder", replace(DATA, pool=torch.tensor([0, 59])), CONFIG, CPU)


def test_files_from_elsewhere_need_no_list_and_no_indices(tmp_path, capsys):
    labels = DATA.train.labels
    made = problem(n=len(labels), labels=labels).features
    for name in ("embeddings", "logits", "labels"):
        np.save(tmp_path / f"{name}.npy", getattr(made, name).numpy())
    found = load_features(tmp_path, DATA, CONFIG, CPU)
    assert torch.equal(found.read().embeddings, made.embeddings[DATA.pool])
    assert "does not say of which images it was made" in capsys.readouterr().err
    (tmp_path / "logits.npy").unlink()
    alone = load_features(tmp_path, DATA, CONFIG, CPU).read()
    assert torch.equal(alone.embeddings, made.embeddings[DATA.pool])
    assert alone.logits.shape == (len(DATA.pool), 0)
    (tmp_path / "embeddings.npy").unlink()
    with pytest.raises(UserError, match=r"must hold labels\*.npy and embeddings\*.npy, logits\*.npy or both"):
        load_features(tmp_path, DATA, CONFIG, CPU)


def test_features_of_other_images_or_labels_are_refused(tmp_path):
    written(tmp_path / "folder")
    with pytest.raises(UserError, match="images"):
        load_features(tmp_path / "folder", DATA, replace(CONFIG, train_images="60-fedcba9876543210"), CPU)
    with pytest.raises(UserError, match="other labels"):
        other = MemoryImages(DATA.train.images, DATA.train.labels.flip(0))
        load_features(tmp_path / "folder", replace(DATA, train=other), CONFIG, CPU)


@pytest.mark.parametrize("damage", ["a bit", "the end", "a file", "the list"])
def test_damage_is_found(damage, tmp_path):
    written(tmp_path / "folder")
    path = tmp_path / "folder" / ("features.json" if damage == "the list" else "logits-00001.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "a file":
        path.unlink()
    else:
        path.write_bytes(content[: -5 if damage in ("the end", "the list") else None])
    with pytest.raises(UserError) as caught:
        load_features(tmp_path / "folder", DATA, CONFIG, CPU)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_none_is_refused(tmp_path):
    written(tmp_path / "folder")
    (tmp_path / "folder" / "features.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match="is no list of features"):
        load_features(tmp_path / "folder", DATA, CONFIG, CPU)


def test_there_is_no_folder_before_it_is_whole(tmp_path):
    features, writer = features_of_pool(), ShardWriter(tmp_path / "folder", None)
    writer.add(0, features, DATA.pool)
    assert not (tmp_path / "folder").exists()
    written(tmp_path / "folder")
    assert not list(tmp_path.glob(".folder*"))


def test_an_earlier_folder_is_replaced_and_another_one_never(tmp_path):
    written(tmp_path / "folder", sizes=(52,))
    before = features_digest(tmp_path / "folder")
    written(tmp_path / "folder", sizes=(26, 26))
    assert len(list((tmp_path / "folder").glob("labels*"))) == 2
    assert features_digest(tmp_path / "folder") != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(UserError, match="exists and holds no features; name another folder"):
        written(tmp_path / "mine")
    assert (tmp_path / "mine" / "photo.jpg").exists()


def test_the_digest_is_that_of_the_content(tmp_path):
    digests = set()
    for value in (0, 1):
        folder = tmp_path / str(value)
        folder.mkdir()
        for name in ("embeddings", "logits", "labels"):
            np.save(folder / f"{name}.npy", np.full((3, 2), value))
        digests |= {features_digest(folder), features_digest(folder)}
    assert len(digests) == 2
    assert {len(digest) for digest in digests} == {16}


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.feature_shards.np.save", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        written(tmp_path / "folder")
