"""The benchmark of selections in parts: its features lie in files, and its table says what the selections came to."""

from __future__ import annotations

import numpy as np

from benchmarks import partitions
from methods.split import Split
from utils.files import write_npz


def test_features_are_written_some_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "_AT_ONCE", 10)
    partitions.write_features(tmp_path, 25)
    z, f = (np.load(tmp_path / f"{name}.npy") for name in ("embeddings", "logits"))
    assert (z.shape, f.shape, z.dtype) == ((25, 512), (25, 10), np.float32)
    assert (z.min(axis=1) >= 0).all()
    assert (z.max(axis=1) > 0).all()


def test_growth_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("methods.split._WHOLE", 250)
    monkeypatch.setattr("methods.split._PART", 100)
    said = partitions.growth([200, 300], 0.1, 10**8, tmp_path)
    assert "| 20 of 200 | 1 | – |" in said
    assert f"| 30 of 300 | {Split.read('auto').number(300)} |" in said
    assert "exponent of the processors' seconds" in said
    assert not list(tmp_path.iterdir())


def test_quality_is_a_share_of_the_full_greedy(tmp_path):
    partitions.write_features(tmp_path, 300)
    arrays = {name: np.load(tmp_path / f"{name}.npy") for name in ("embeddings", "logits")}
    write_npz(tmp_path / "features.npz", {**arrays, "labels": np.zeros(300, dtype=np.int64)})
    *_, row = partitions.quality(tmp_path / "features.npz", 200, [0.1], ["near:2"]).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "20 of 200, near:2"
    assert 90 < float(cells[2].removesuffix(" %")) <= 101
