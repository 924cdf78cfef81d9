"""A short training with weights, augmentation and a trace."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from tiny_data import make_data

import nets
from utils.config import TrainingConfig
from utils.data.training_set import TrainingSet
from utils.training.machine import Machine
from utils.training.trainer import Training
from utils.training.training_trace import TrainingTrace


def small_training(machine: Machine, config: TrainingConfig, model: str, **options: Any) -> Training:
    """Sixty images of 1×8×8, cropped and flipped."""
    torch.manual_seed(0)
    data = make_data()
    data = dataclasses.replace(data, spec=dataclasses.replace(data.spec, augmentation="crop_flip"))
    return Training(
        nets.build(model, 1, 3, 8),
        TrainingSet(data, data.pool, torch.ones(60)),
        config,
        seed=0,
        purpose="t",
        label="t",
        machine=machine,
        observer=TrainingTrace(60, config.epochs),
        **options,
    )
