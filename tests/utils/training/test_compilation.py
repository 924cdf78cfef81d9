"""Compiled networks train as plain ones do; on a GPU one shape is compiled."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_data import make_data

import nets
from utils.config import OptimizerConfig, TrainingConfig
from utils.data.training_set import TrainingSet
from utils.errors import UserError
from utils.training.compilation import compilation
from utils.training.machine import Machine
from utils.training.trainer import Training

CPU = torch.device("cpu")
CONFIG = TrainingConfig(epochs=2, batch=16, optimizer=OptimizerConfig(lr=0.05), compile=True)


def trained(config: TrainingConfig) -> nets.Network:
    torch.manual_seed(0)
    data, network = make_data(), nets.build("MLP", 1, 3, 8)
    training_set = TrainingSet(data, data.pool)
    Training(network, training_set, config, seed=0, purpose="test", label="test", machine=Machine(CPU)).run()
    return network


def test_a_compiled_network_trains_as_the_plain_one(monkeypatch):
    compile_ = torch.compile
    calls = []

    def through_dynamo(network: torch.nn.Module) -> object:
        calls.append(network)
        return compile_(network, backend="eager")

    plain = trained(dataclasses.replace(CONFIG, compile=False))
    monkeypatch.setattr(torch, "compile", through_dynamo)
    compiled = trained(CONFIG)
    assert len(calls) == 1
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict())


def test_a_network_that_cannot_be_compiled_is_refused_in_one_line(monkeypatch):
    compile_ = torch.compile

    def no_compiler(graph: object, inputs: object) -> object:
        raise RuntimeError("no C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend=no_compiler))
    with pytest.raises(UserError, match=r"^--compile failed: .*no C\+\+ compiler found and more; .*out$"):
        trained(CONFIG)


def test_other_failures_stay_what_they_are():
    for enabled in (False, True):
        with pytest.raises(RuntimeError, match="out of luck"), compilation(enabled):
            raise RuntimeError("out of luck")
