"""Each setting is written once: no flag without a field that it sets, and no field without a flag."""

from __future__ import annotations

import dataclasses

import pytest

from condensation import arguments as condensing
from condensation.config import CondensationConfig
from continual_learning import arguments as continual
from experiments.arguments import flags as selecting
from experiments.command_line import Settings
from experiments.landscape import arguments as landscaping
from experiments.landscape.config import LandscapeConfig
from methods import METHODS
from utils.config import (
    DataConfig,
    OptimizerConfig,
    SchedulerConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import SizeFlags
from utils.execution import ExecutionConfig
from utils.flags import flags_of
from utils.records.groups import _short
from utils.scenario import ScenarioConfig

SHARED = (DataConfig, TrainingConfig, OptimizerConfig, SchedulerConfig, Settings, ExecutionConfig)
KINDS = (*SHARED, SelectionConfig, SizeFlags, CondensationConfig, LandscapeConfig, ScenarioConfig, *METHODS.values())
WITHOUT_FLAG = {
    "Settings.sizes",  # as SizeFlags say
    *("Settings.data", "Settings.selection", "Settings.training", "Settings.execution", "Settings.given"),
    *("TrainingConfig.optimizer", "TrainingConfig.scheduler"),  # parts, whose own fields have flags
    *("DataConfig.train_images", "DataConfig.test_images", "DataConfig.moved_to"),  # what was found, and where
    "TrainingConfig.augment",  # --augmentation none
    "DataConfig.noise_matrix",  # the digest of the file that --label_noise names
    *("SelectionConfig.options", "SelectionConfig.proxy"),  # the fields of methods, and a second training
    "SelectionConfig.revision",  # of the method
    *("SelectionConfig.features", "SelectionConfig.scores", "SelectionConfig.proxy_file"),  # digests of files
    *("CondensationConfig.data", "CondensationConfig.model", "CondensationConfig.seed"),  # as in Settings
    "CondensationConfig.deterministic",  # as in TrainingConfig
    "CondensationConfig.compile_inner",  # as compile in TrainingConfig
    "ScenarioConfig.order_seed",  # one of the numbers of --order_seed
}


LANDSCAPING = landscaping.landscaping()[0]


def shown(groups: selecting.Groups) -> dict[str, set[str]]:
    return {flag.name: set(flag.names.split()) for members in groups.values() for flag in members}


@pytest.mark.parametrize(
    ("groups", "kinds", "without_field"),
    [
        (selecting.selecting(), (*SHARED, SelectionConfig, SizeFlags, *METHODS.values()), {"train_batch", "backpack"}),
        (condensing.condensing(), (*SHARED, CondensationConfig), {"matching"}),
        (LANDSCAPING, (*SHARED, SelectionConfig, SizeFlags, LandscapeConfig, *METHODS.values()), set()),
        (
            continual.continual(),
            (*SHARED, SelectionConfig, CondensationConfig, ScenarioConfig, *METHODS.values()),
            {"train_batch", "matching", "order_seed", "condensation"},
        ),
    ],
    ids=["selecting", "condensing", "landscaping", "continual"],
)
def test_no_flag_without_a_field(groups, kinds, without_field):
    fields = {flag.name for kind in kinds for flag in flags_of(kind).values()}
    trained_twice = {
        f"selection_{flag.name}" for kind in (TrainingConfig, OptimizerConfig) for flag in flags_of(kind).values()
    }
    assert shown(groups).keys() - fields - trained_twice == without_field


def test_no_field_without_a_flag():
    without = {f"{kind.__name__}.{field.name}" for kind in KINDS for field in dataclasses.fields(kind)} - {
        f"{kind.__name__}.{name}" for kind in KINDS for name in flags_of(kind)
    }
    assert without == WITHOUT_FLAG
    groups = (selecting.selecting(), condensing.condensing(), LANDSCAPING, continual.continual())
    known = set().union(*map(shown, groups))
    assert {flag.name for kind in KINDS for flag in flags_of(kind).values()} <= known


@pytest.mark.parametrize(
    "groups",
    [selecting.selecting(), condensing.condensing(), LANDSCAPING, continual.continual()],
    ids=["selecting", "condensing", "landscaping", "continual"],
)
def test_no_name_means_two_flags(groups):
    names = [name for members in groups.values() for flag in members for name in flag.names.split()]
    assert len(names) == len(set(names))


def test_options_that_share_a_flag_share_its_names_and_default():
    seen = {flag.name: flag for kind in SHARED for flag in flags_of(kind).values()}
    for method in METHODS.values():
        for flag in flags_of(method).values():
            first = seen.setdefault(flag.name, flag)
            assert (flag.names, flag.default) == (first.names, first.default)


def test_an_option_s_default_is_its_flag_s():
    for method in METHODS.values():
        defaults = {field.name: field.default for field in dataclasses.fields(method)}
        assert {option: flag.default for option, flag in flags_of(method).items()} == defaults


def test_conditions_name_options():
    for method in METHODS.values():
        named = {name for option, (other, _) in method.acts_with.items() for name in (option, other)}
        assert named <= flags_of(method).keys()


@pytest.mark.parametrize(
    ("place", "kind", "prefix"),
    [
        ("data", DataConfig, ""),
        ("training", TrainingConfig, ""),
        ("training.optimizer", OptimizerConfig, ""),
        ("training.scheduler", SchedulerConfig, ""),
        ("selection.proxy", TrainingConfig, "selection_"),
        ("selection.proxy.optimizer", OptimizerConfig, "selection_"),
    ],
)
def test_tables_call_a_setting_by_its_flag(place, kind, prefix):
    for field, flag in flags_of(kind).items():
        assert _short(f"{place}.{field}") == prefix + flag.name
