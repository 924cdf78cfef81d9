"""Published loops and defaults, and settings as a value."""

from __future__ import annotations

import dataclasses

import pytest
from condensing import config

from condensation.arguments import parse
from condensation.config import (
    CondensationConfig,
    default_augmentation,
    default_epochs,
    default_pixel_lr,
    default_strategy,
    loops,
)
from utils.errors import UserError


@pytest.mark.parametrize(
    ("ipc", "expected"),
    [(1, (1, 1)), (10, (10, 50)), (20, (20, 25)), (30, (30, 20)), (40, (40, 15)), (50, (50, 10)), (100, (50, 5))],
)
def test_published_loops(ipc, expected):
    assert loops(ipc) == expected


@pytest.mark.parametrize("ipc", [2, 7, 1000])
def test_loops_of_any_number_of_images(ipc):
    outer, inner = loops(ipc)
    assert 1 <= outer <= 50
    assert 1 <= inner <= 50


def test_digits_are_not_mirrored():
    assert "flip" not in default_strategy("SVHN")
    assert default_strategy("CIFAR10") == "color_crop_cutout_flip_scale_rotate"


def test_evaluation_protocols():
    assert (default_epochs("DC", "CIFAR10"), default_augmentation("DC", "CIFAR10")) == (300, "none")
    assert (default_epochs("DC", "MNIST"), default_augmentation("DC", "MNIST")) == (1000, "crop_scale_rotate")
    for method in ("DSA", "DM", "LCMat"):
        assert (default_epochs(method, "SVHN"), default_augmentation(method, "SVHN")) == (
            1000,
            default_strategy("SVHN"),
        )


def test_pixel_rates():
    assert [default_pixel_lr("DM", "CIFAR10", ipc) for ipc in (1, 50, 100)] == [1, 1, 10]
    assert default_pixel_lr("DSA", "CIFAR10", 50) == 0.1


def test_settings_come_back_and_every_one_is_in_the_name():
    first = config("LCMat")
    assert CondensationConfig.from_dict(first.as_dict()) == first
    changes = {"ipc": 3, "seed": 1, "init": "noise", "iterations": 4, "pixel_lr": 0.2, "strategy": "", "real_batch": 8}
    changes |= {
        "curvature_scale": "target",
        "outer": 4,
        "inner": 3,
        "distance": "cosine",
        "rho": 2.0,
        "curvature": "diagonal",
        "model": "ConvNet",
    }
    names = {dataclasses.replace(first, **{name: value}).name() for name, value in changes.items()}
    assert len(names | {first.name()}) == len(changes) + 1
    without_scale = {name: value for name, value in first.as_dict().items() if name != "curvature_scale"}
    assert CondensationConfig.from_dict(without_scale).name() == first.name()  # as it was before there was a choice
    with pytest.raises(UserError):
        CondensationConfig.from_dict({**first.as_dict(), "later": 1})


def test_the_curvature_term_is_scaled_unless_told_otherwise():
    def scale(line: str) -> str | None:
        return parse(f"--method LCMat --ipc 2 {line}".split()).condensations[0].curvature_scale

    assert scale("") == "matching"
    assert scale("--curvature_scale target") == "target"
    assert scale("--curvature_scale none") is None
    assert scale("--rho 0") is None


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("--ipc 10 --compile", True), ("--ipc 10", None), ("--ipc 1 --compile", None), ("--method DM --compile", None)],
)
def test_networks_are_compiled_where_they_are_trained_between_pixel_steps(flags, expected):
    assert parse(["--dataset", "Digits", *flags.split()]).condensations[0].compile_inner is expected
