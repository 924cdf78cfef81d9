"""Coresets on other networks: which runs are found, what is trained, and the matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import FAST

from methods import Coreset


@pytest.fixture
def selected(commands):
    commands.main(f"{FAST} --selection LCMat --fraction 0.05 0.1 --num_exp 2")
    commands.main(f"{FAST} --selection Uniform --fraction 0.05")
    return commands


def test_each_coreset_is_trained_on_by_each_network(selected):
    answer = selected.cross(f"{FAST} --fraction 0.05 --cross ConvNet --epochs 1")
    assert answer.status == 0, answer.err
    assert "Digits, fraction 0.05" in answer.out
    assert "fraction 0.1" not in answer.out
    assert (selected.folder / "result" / "cross_networks.png").read_bytes()[:4] == b"\x89PNG"
    assert len(selected.runs("Digits_ConvNet_LCMat_f0.05_*")) == 2
    assert len(selected.runs("Digits_ConvNet_Uniform_f0.05_*")) == 1
    (trained,) = selected.runs("Digits_ConvNet_LCMat_f0.05_s1_*")
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["model"], summary["selection_model"]) == ("ConvNet", "MLP")
    source = selected.runs("Digits_MLP_LCMat_f0.05_s1_*")[0]
    assert np.array_equal(Coreset.load(trained / "coreset.npz").indices, Coreset.load(source / "coreset.npz").indices)


def test_only_what_matches_the_flags_takes_part(selected):
    selected.cross(f"{FAST} --selection Uniform --fraction 0.05 --cross ConvNet --epochs 1")
    assert not selected.runs("Digits_ConvNet_LCMat_*")
    selected.cross("--dataset Digits --model MLP --cross ConvNet --fraction 0.1 --seed 1 --epochs 1")
    assert len(selected.runs("Digits_ConvNet_LCMat_*")) == 1


def test_no_matching_run_says_what_was_looked_for_and_what_there_is(selected):
    error = selected.cross("--dataset CIFAR10 --selection LCMat --cross MLP").error
    assert "--dataset CIFAR10" in error
    assert "--dataset Digits --selection LCMat --selection_model MLP --fraction 0.05" in error


def test_a_coreset_in_an_exported_folder_takes_part_without_a_run(commands, tmp_path):
    (tmp_path / "mine").mkdir()
    rows = [f"a/{index}.png,{index}" for index in range(0, 1000, 20)]
    (tmp_path / "mine" / "coreset.csv").write_text("\n".join(["file,index", *rows]))
    answer = commands.cross(f"{FAST} --coreset {tmp_path / 'mine'} --cross ConvNet --epochs 1")
    assert answer.status == 0, answer.err
    assert len(commands.runs("Digits_ConvNet_mine_*")) == len(commands.runs("Digits_MLP_mine_*")) == 1


def test_the_default_networks_are_the_originals():
    from cross_network_generalization import DEFAULT_CROSS

    assert DEFAULT_CROSS == ("VGG16", "InceptionV3", "ResNet34", "WRN168", "MobileNetV3Small")
