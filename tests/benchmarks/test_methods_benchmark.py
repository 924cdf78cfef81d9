"""The benchmark of every method: a row for each, and peers that do the same work."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
import torch

from benchmarks import measure, method_peers, methods, shapes
from methods import METHODS, make_method
from methods.glister import ValidationLoss
from methods.gradmatch import matching_pursuit


@pytest.fixture
def short(monkeypatch):
    """Turns that end after one call, and torch's threads as they were."""
    monkeypatch.setattr(measure, "_TURN", 1e-9)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("short")
def test_every_method_has_a_row_in_table_and_csv(tmp_path, capsys):
    small = ["--samples", "120", "--fractions", "0.05", "0.1", "--repeats", "1", "--threads", "1"]
    methods.main([*small, "--csv", str(tmp_path / "methods.csv")])
    with (tmp_path / "methods.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == [name for name in METHODS if name != "Full"]
    out = capsys.readouterr().out
    for name, row in rows.items():
        assert f"| {name} |" in out
        assert min(float(row["5% (s)"]), float(row["10% (s)"])) >= 0
        assert int(row["MB"]) >= 0
    for name in ("kCenterGreedy", "Cal", "Prototypicality"):
        assert "scikit-learn" in rows[name]["peer, at the largest"]
        assert rows[name]["same picks"] == "100.0%"
        assert float(rows[name]["peer (s)"]) > 0
    assert rows["kCenterGreedy"]["objective"] == rows["kCenterGreedy"]["peer's objective"] != ""
    assert rows["Herding"]["peer, at the largest"] == rows["Herding"]["same picks"] == ""


DEEPCORE = """
class Herding:
    def finish_run(self):
        print("much")
        z = self.construct_matrix()
        return {"indices": (z - z.mean(0)).norm(dim=1).argsort()[: self.coreset_size].numpy()}
"""


def test_deepcore_selects_from_given_features_without_its_training(tmp_path, monkeypatch, capsys):
    for folder, text in (("methods", DEEPCORE), ("methods/methods_utils", "euclidean_dist = None")):
        (tmp_path / "deepcore" / folder).mkdir(parents=True)
        (tmp_path / "deepcore" / folder / "__init__.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    features = shapes.even(40)
    peer = method_peers.peers_of(make_method("Herding"), features, 4, tmp_path)[-1]
    assert peer.name == "DeepCore Herding"
    picks = peer.picks()
    assert capsys.readouterr().out == ""
    apart = features.embeddings[picks].mean(dim=0) - features.embeddings.mean(dim=0)
    assert peer.objective(picks) == pytest.approx(-float(apart.norm()), rel=1e-5)
    for name in [each for each in sys.modules if each.partition(".")[0] == "deepcore"]:
        del sys.modules[name]


def test_the_objective_of_gradmatch_is_what_its_weights_leave():
    features = shapes.even(30)
    objective = method_peers._OBJECTIVES["GradMatch"](features)
    gradients = features.gradients()
    pursuit = matching_pursuit(gradients, gradients.mean(), [5], ridge=1.0)[0]
    g = torch.stack(
        [torch.outer(gradients.residuals[i], gradients.augmented[i]) for i in pursuit.picks]
    )  # [5, C, d + 1]
    w = torch.from_numpy(pursuit.weights)
    left = (w[:, None, None] * g).sum(dim=0) - gradients.mean()
    assert objective(pursuit.picks) == pytest.approx(-float((left.square().sum() + w.square().sum()).sqrt()), rel=1e-6)


def test_the_objective_of_glister_is_the_loss_that_its_own_step_leaves():
    features = shapes.even(30)
    validation, gradients = ValidationLoss(features, eta=0.1), features.gradients()
    for i in (3, 8):
        validation.step(gradients.residuals[i], gradients.augmented[i])
    moved = validation.logits - 0.1 / 2 * validation.change
    loss = torch.nn.functional.cross_entropy(moved, features.labels)
    assert method_peers._OBJECTIVES["Glister"](features)(np.array([3, 8])) == pytest.approx(-float(loss), rel=1e-9)


def test_the_objective_of_k_center_is_the_radius_that_the_picks_cover():
    features = shapes.even(60)
    (peer,) = method_peers.peers_of(make_method("kCenterGreedy"), features, 4)
    picks = np.array([3, 20, 41])
    away = [min(float((a - features.embeddings[i]).double().norm()) for i in picks) for a in features.embeddings]
    assert peer.objective(picks) == pytest.approx(-max(away), rel=1e-6)
    assert len(set(peer.picks())) == 4
