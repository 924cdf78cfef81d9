"""A configuration goes with its result, comes back from it, and changes the run's name with any setting."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import made_up_config

from experiments.command_line import Settings
from utils.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    SchedulerConfig,
    SelectionConfig,
    TrainingConfig,
    digest,
)
from utils.coreset_size import CoresetSize
from utils.errors import UserError

CONFIG = made_up_config(options={"eps": 0.05, "greedy": "LazyGreedy"})

numbers = st.floats(0, 1e3)
optimizers = st.builds(OptimizerConfig, st.sampled_from(["SGD", "Adam"]), numbers, numbers, numbers, st.booleans())
schedulers = st.builds(SchedulerConfig, st.just("StepLR"), numbers, numbers, st.integers(1, 9))
trainings = st.builds(
    TrainingConfig, st.integers(1, 300), st.integers(1, 512), optimizers, st.none() | schedulers, st.booleans()
)
options = st.dictionaries(st.sampled_from(["eps", "K", "greedy"]), numbers | st.integers() | st.booleans() | st.text())
selections = st.builds(SelectionConfig, st.text(), st.booleans(), options, st.none() | st.text(), st.none() | trainings)
data_configs = st.builds(DataConfig, st.just("ImageFolder"), st.text(), st.none() | st.integers(1, 224), st.booleans())
sizes = (
    st.builds(CoresetSize, st.just("fraction"), st.floats(0, 1, exclude_min=True), st.booleans())
    | st.builds(CoresetSize, st.just("budget"), st.integers(1), st.booleans())
    | st.builds(CoresetSize, st.just("ipc"), st.integers(1))
)
run_configs = st.builds(
    RunConfig, data_configs, st.text(), selections, sizes, st.integers(), trainings, st.integers(0, 9)
)


def leaves(values: dict[str, Any], place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where the single settings stand."""
    found = []
    for name, value in values.items():
        found += leaves(value, (*place, name)) if isinstance(value, dict) and value else [(*place, name)]
    return found


def changed(values: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """A copy with another value of the same kind at one place."""
    name, *rest = place
    if rest:
        return values | {name: changed(values[name], tuple(rest))}
    value = values[name]
    if isinstance(value, bool) or value is None:
        return values | {name: not value}
    if isinstance(value, float) and value:
        return values | {name: value / 2}
    return values | {name: value + "x" if isinstance(value, str) else value + 1}


@given(config=run_configs)
def test_a_configuration_comes_back_from_json(config: RunConfig) -> None:
    assert RunConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize("place", leaves(CONFIG.as_dict()), ids=".".join)
def test_every_setting_changes_the_name(place: tuple[str, ...]) -> None:
    other = RunConfig.from_dict(changed(CONFIG.as_dict(), place))
    assert other != CONFIG
    assert other.digest() != CONFIG.digest()
    assert other.name() != CONFIG.name()


def test_no_setting_is_left_out() -> None:
    kinds = (RunConfig, DataConfig, SelectionConfig, TrainingConfig, OptimizerConfig, SchedulerConfig)
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    folder = made_up_config(dataset="ImageFolder").as_dict()
    parts = {"options", "data", "selection", "training", "optimizer", "scheduler", "proxy", "size", "scenario"}
    assert names - parts - {"train_images", "test_images", "moved_to"} <= {  # which are a record, and no settings
        place[-1] for place in leaves(folder)
    }


def test_the_folder_of_the_data_counts_only_where_it_defines_them() -> None:
    here, there = made_up_config(data_path="here"), made_up_config(data_path="there")
    assert here.name() == there.name()
    own = [made_up_config(dataset="ImageFolder", data_path=path).name() for path in ("here", "there")]
    assert own[0] != own[1]


def test_the_name_says_the_main_settings() -> None:
    pattern = r"Digits_MLP_LCMat_f0\.1_s0_[0-9a-f]{8}"
    assert re.fullmatch(pattern, CONFIG.name())
    in_all, of_each = (made_up_config(size=CoresetSize(unit, 50)) for unit in ("budget", "ipc"))
    assert re.fullmatch(r"Digits_MLP_LCMat_budget50_s0_[0-9a-f]{8}", in_all.name())
    assert re.fullmatch(r"Digits_MLP_LCMat_ipc50_s0_[0-9a-f]{8}", of_each.name())


def test_a_fraction_is_recorded_and_named_as_it_always_was() -> None:
    assert CONFIG.as_dict()["fraction"] == 0.1
    assert {"size", "budget", "ipc", "at_least_one"}.isdisjoint(CONFIG.as_dict())
    assert CONFIG.digest() == "d1dca75e"


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


@pytest.mark.parametrize("place", [("model",), ("data", "dataset"), ("training", "optimizer"), ("selection",)])
def test_a_missing_setting_is_refused(place: tuple[str, ...]) -> None:
    values = json.loads(json.dumps(CONFIG.as_dict()))
    part = values
    for name in place[:-1]:
        part = part[name]
    del part[place[-1]]
    with pytest.raises(UserError, match="not the configuration of a run"):
        RunConfig.from_dict(values)


@pytest.mark.parametrize("change", [{"training": 1}, {"colour": "red"}, {"selection": "LCMat"}, {"data": None}])
def test_an_unknown_setting_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not the configuration of a run"):
        RunConfig.from_dict(CONFIG.as_dict() | change)


def test_a_command_lines_runs_differ_in_size_and_seed_only() -> None:
    settings = Settings(CONFIG.data, CONFIG.selection, CONFIG.training, CONFIG.model)
    assert settings.run(CoresetSize.of(fraction=0.1), 0) == CONFIG
    budget = CoresetSize.of(budget=20)
    assert settings.run(budget, 1) == dataclasses.replace(CONFIG, size=budget, seed=1)


def test_fingerprints_are_recorded_and_in_no_name():
    found = dataclasses.replace(CONFIG.data, train_images="5-a", test_images="3-b")
    config = dataclasses.replace(CONFIG, data=found)
    assert config.as_dict()["data"]["train_images"] == "5-a"
    assert config.name() == CONFIG.name()
    assert config.settings() == CONFIG
    assert RunConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
