"""A condensation learns, and wherever it is stopped it ends as if it had not been."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from condensing import CPU, config
from torch import nn

import nets
from condensation.learning import Condensation, Learned
from nets import Network
from nets.contract import NetworkSpec
from utils.errors import DivergedError, UserError
from utils.execution import ExecutionConfig

METHODS = ["DC", "DSA", "DM", "LCMat"]


def learn(settings, data, checkpoint: Path | None = None, on_save=lambda: None) -> Learned:
    machine = dataclasses.replace(CPU, execution=ExecutionConfig(checkpoint_interval=0))
    return Condensation(settings, data, machine, checkpoint, lambda *_: on_save()).run()


def assert_same(a: Learned, b: Learned) -> None:
    assert np.array_equal(a.synthetic.images, b.synthetic.images)
    assert a.history == b.history


@pytest.fixture(autouse=True)
def normed(monkeypatch):
    """A small network with what makes passes depend on each other: batch normalisation and dropout."""

    def build(channels: int, num_classes: int, size: tuple[int, int]) -> Network:
        pixels = channels * size[0] * size[1]
        norm, rest = nn.BatchNorm2d(channels), (nn.Flatten(), nn.Linear(pixels, 16), nn.ReLU(), nn.Dropout(0.5))
        return Network(nn.Sequential(norm, *rest), nn.Linear(16, num_classes))

    monkeypatch.setitem(nets.NETWORKS, "Normed", NetworkSpec("Normed", build, smallest_image=1))


@pytest.mark.parametrize("model", ["MLP", "ConvNet", "Normed"])
@pytest.mark.parametrize("method", METHODS)
def test_interrupted_after_any_step_it_ends_the_same(method, model, tiny_data, tmp_path):
    settings = config(method, model=model, iterations=2, **({} if method == "DM" else {"outer": 2}))
    undisturbed = learn(settings, tiny_data)
    checkpoint = tmp_path / "checkpoint.pt"
    for _ in range(settings.iterations * settings.outer):
        with pytest.raises(KeyboardInterrupt):
            learn(settings, tiny_data, checkpoint, lambda: signal.raise_signal(signal.SIGINT))
    outcome = learn(settings, tiny_data, checkpoint)
    assert_same(outcome, undisturbed)


def test_killed_long_after_its_last_checkpoint(tiny_data, tmp_path):
    settings = config("LCMat")
    undisturbed = learn(settings, tiny_data)
    checkpoint, saves = tmp_path / "checkpoint.pt", []

    def keep() -> None:
        saves.append(1)
        if len(saves) == 5:  # in the middle of the second iteration
            shutil.copy(checkpoint, tmp_path / "kept.pt")

    learn(settings, tiny_data, checkpoint, keep)
    assert_same(learn(settings, tiny_data, tmp_path / "kept.pt"), undisturbed)


def test_a_checkpoint_of_another_condensation_is_refused(tiny_data, tmp_path):
    path = tmp_path / "checkpoint.pt"
    learn(config("DM"), tiny_data, path)
    with pytest.raises(UserError, match="not of this condensation"):
        learn(config("DM", ipc=3), tiny_data, path)


@pytest.mark.parametrize("method", METHODS)
def test_the_objective_falls(method, tiny_data):
    length = {"iterations": 40} if method == "DM" else {"iterations": 6, "outer": 6, "inner": 1}
    history = learn(config(method, strategy="", real_batch=60, init="noise", **length), tiny_data).history
    assert [row.iteration for row in history] == list(range(1, length["iterations"] + 1))
    assert history[-1].loss < 0.8 * history[0].loss


def test_the_history_says_how_much_of_the_pixels_gradient_is_the_curvature_s(tiny_data):
    scaled, control = (
        learn(config("LCMat", **changes), tiny_data)
        for changes in ({"curvature_scale": "matching"}, {"rho": None, "curvature": None})
    )
    assert [row.share for row in scaled.history] == pytest.approx([1 / 3] * 3, rel=1e-4)
    assert [row.share for row in control.history] == [0, 0, 0]
    assert np.array_equal(control.synthetic.images, learn(config("DSA"), tiny_data).synthetic.images)


def test_real_images_are_where_it_starts(tiny_data):
    condensation = Condensation(config("DSA", 4), tiny_data, CPU, None, lambda *_: None)
    start = condensation.synthetic()
    assert start.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    real = tiny_data.train.images.float().numpy()
    for image, label in zip(start.images, start.labels, strict=True):
        gaps = np.abs(real - image).max(axis=(1, 2, 3))
        assert gaps.min() < 1e-3
        assert tiny_data.train.labels[int(gaps.argmin())] == label


def test_too_few_real_images_to_start_from(tiny_data):
    with pytest.raises(UserError, match="--init noise"):
        Condensation(config("DSA", 21), tiny_data, CPU, None, lambda *_: None)
    Condensation(config("DSA", 21, init="noise"), tiny_data, CPU, None, lambda *_: None)


def test_diverging_pixels_are_named(tiny_data):
    with pytest.raises(DivergedError, match="--pixel_lr"):
        learn(config("DM", pixel_lr=1e38, strategy="", iterations=20), tiny_data)


def test_seeds_differ_and_repeat(tiny_data):
    outcomes = [learn(config("DM", seed=seed), tiny_data) for seed in (0, 0, 1)]
    assert_same(outcomes[0], outcomes[1])
    assert not np.array_equal(outcomes[0].synthetic.images, outcomes[2].synthetic.images)


def test_a_network_that_has_no_second_derivative_is_named(tiny_data):
    data = dataclasses.replace(
        tiny_data, spec=dataclasses.replace(tiny_data.spec, im_size=32), train=tiny_data.train.resized(32)
    )
    with pytest.raises(UserError, match=r"MobileNetV3Small .*--method DM"):
        learn(config("DSA", model="MobileNetV3Small"), data)
    learn(config("DM", model="MobileNetV3Small", iterations=1), data)


def test_pixels_move_by_descent_with_momentum(tiny_data):
    settings = config("DM", strategy="", iterations=2)
    condensation = Condensation(settings, tiny_data, CPU, None, lambda *_: None)
    start, gradients, step = condensation.pixels.clone(), [], condensation.method.step

    def watched(*arguments):
        gradient, terms = step(*arguments)
        gradients.append(gradient.clone())
        return gradient, terms

    condensation.method.step = watched
    condensation.run()
    first, second = gradients
    torch.testing.assert_close(condensation.pixels, start - 0.1 * first - 0.1 * (0.5 * first + second))


def test_compiled_networks_learn_the_same_and_all_iterations_share_one_graph(tiny_data, monkeypatch):
    compile_, graphs = torch.compile, []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    settings = config("DSA", model="ConvNet")
    plain = learn(settings, tiny_data)
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend=backend))
    compiled = learn(dataclasses.replace(settings, compile_inner=True), tiny_data)
    assert len(graphs) == 1
    assert [row.loss for row in compiled.history] == pytest.approx([row.loss for row in plain.history], rel=1e-5)
    np.testing.assert_allclose(compiled.synthetic.images, plain.synthetic.images, rtol=1e-4, atol=1e-4)
