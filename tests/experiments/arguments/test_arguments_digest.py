"""A run's digest changes with all that its result depends on, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from command_lines import read

from methods import METHODS
from utils.config import without_unset


def digest_of(line: str) -> str:
    found = read(line)
    return found.run(found.sizes[0], found.seeds[0]).digest()


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("", change)
        for change in (
            "--dataset CIFAR100",
            "--im_size 64",
            "--val",
            "--label_noise 0.2",
            "--model VGG16",
            "--selection AdaCore",
            "--selection_model VGG16",
            "--fraction 0.2",
            "--prune hardest:0.2",
            "--partitions 4",
            "--partitions near:4",
            "--partitions auto",
            "--budget 10",
            "--ipc 10",
            "--at_least_one",
            "--balance no",
            "--eps 0.01",
            "--K 10",
            "--weighted",
            "--submodular_greedy NaiveGreedy",
            "-se 3",
            "-sb 3",
            "-so Adam",
            "-slr 1",
            "-sm 0.1",
            "-swd 0",
            "-sn no",
            "--optimizer Adam",
            "--lr 0.2",
            "--min_lr 0",
            "--momentum 0.1",
            "--weight_decay 0",
            "--nesterov no",
            "--scheduler none",
            "--epochs 3",
            "--batch 3",
            "--train_batch 3",
            "--test_interval 0",
            "--test_fraction 0.5",
            "--augmentation none",
            "--augmentation flip",
            "--augmentation resized_crop_flip",
            "--seed 1",
            "--amp",
            "--compile",
        )
    ]
    + [
        ("--val", "--val_ratio 0.3"),
        ("--label_noise 0.2", "--label_noise 0.3"),
        ("--dataset ImageFolder", "--background black"),
        ("--dataset ImageFolder", "--augmentation none"),
        ("--dataset ImageFolder", "--augmentation resized_crop_flip"),
        ("--dataset Digits", "--augmentation crop_flip"),
        ("--augmentation crop_flip", "--augmentation flip_crop"),
        ("--scheduler StepLR", "--gamma 0.1"),
        ("--scheduler StepLR", "--step_size 3"),
        ("--dataset ImageFolder", "--data_path elsewhere"),
        ("--selection Submodular", "--kernel adacore"),
        ("--selection Submodular", "--submodular FacilityLocation"),
        ("--selection Uncertainty", "--uncertainty Margin"),
        ("--selection Cal", "--pretrained"),
        ("--selection Glister", "--eta 0.2"),
        ("--selection Uniform", "--prune hardest:0.2"),
        ("--selection Uniform --prune hardest:0.2", "--prune hardest:0.3"),
        ("--selection Uniform --prune hardest:0.2", "--prune easiest:0.2"),
        ("--selection Uniform --prune hardest:0.2", "--score EL2N"),
        ("--selection Uniform --prune hardest:0.2", "-se 3"),
        ("--selection CCS", "--score EL2N"),
    ],
)
def test_every_setting_that_can_change_the_result_changes_the_digest(base, change):
    assert digest_of(base) != digest_of(f"{base} {change}")


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("", change)
        for change in (
            "--data_path elsewhere",
            "--save_path elsewhere",
            "--resume here",
            "--checkpoint_interval 3",
            "--print_freq 3",
            "--workers 0",
            "--data_on_device on",
            "--memory_budget 1GB",
            "--profile",
            "--save_features",
            "--partitions 1",
            "--partitions near:1",
            "--save_scores",
            "--score EL2N",
            "--after_analyses",
            "--exact_analyses",
            "--num_exp 4",
            "--num_eval 4",
            "--cross VGG16",
            "--fraction 0.1 0.3",
            "--backpack",
            "--val_ratio 0.3",
            "--gamma 0.1",
            "--step_size 3",
            "--kernel worst",
            "--eps 0.050",
        )
    ]
    + [
        ("--selection LCMatGC", "--partitions 4"),
        ("--selection Uniform", "--eps 0.3 --K 3 --kernel worst -se 3 --selection_model VGG16"),
        ("--selection Submodular", "--eps 0.3 --K 3"),
        ("--optimizer Adam", "--momentum 0.3 --nesterov no"),
        ("--momentum 0", "--nesterov no"),
        ("--selection kCenterGreedy --pretrained", "-slr 0.3"),
        ("--selection Full", "--fraction 0.3 --balance no --prune hardest:0.2"),
        ("--selection Full", "--fraction 0.3 --balance no"),
        ("--selection Full", "--budget 3 --ipc 4 --at_least_one"),
        ("--balance no", "--at_least_one"),
        ("--ipc 3", "--at_least_one"),
        ("--budget 3", "--budget 3 7 --ipc 2"),
    ],
)
def test_what_does_not_act_leaves_the_digest_alone(base, change):
    assert digest_of(base) == digest_of(f"{base} {change}")


@pytest.mark.parametrize(
    "name", ["GradMatch", "Glister", "DynUnc", "CCS --score DynUnc", "GradMatch --prune hardest:0.1 --score DynUnc"]
)
def test_a_method_that_picks_otherwise_than_before_is_not_taken_for_a_run_from_before(name):
    found = read(f"--selection {name}")
    config = found.run(found.sizes[0], found.seeds[0])
    own = METHODS["GradMatch"].revision if "prune" in name else None  # of before the score's
    before = replace(config, selection=replace(config.selection, revision=own))
    assert before.digest() != config.digest()
    assert ("revision" in without_unset(before.as_dict()["selection"])) == (own is not None)


def test_methods_that_pick_as_ever_keep_the_names_of_their_runs():
    assert {name for name, method in METHODS.items() if method.revision} == {"GradMatch", "Glister", "DynUnc"}
    assert read("--selection CCS").selection.revision is None


@pytest.mark.parametrize(("flags", "recorded"), [("", 1), ("-sti 0", 0), ("-sti 1", 1), ("-sti 5", 5)])
def test_runs_made_when_the_proxy_was_tested_every_epoch_by_default_are_found(flags, recorded):
    asked = read(flags)
    assert asked.selection.proxy.test_interval == recorded, "as it stands in those runs' config.json and digest"
