"""Small condensations that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from condensation.config import CondensationConfig
from condensation.real_batches import RealImages
from nets import Network
from utils.config import DataConfig
from utils.data.load import Data
from utils.training.machine import Machine

CPU = Machine(torch.device("cpu"))


def config(method: str = "DSA", ipc: int = 2, **changes: Any) -> CondensationConfig:
    """A condensation of the tiny data set that takes a moment."""
    settings: dict[str, Any] = {
        "model": "MLP",
        "seed": 0,
        "init": "real",
        "iterations": 3,
        "pixel_lr": 0.1,
        "strategy": "" if method == "DC" else "color_crop_cutout_scale_rotate",
        "real_batch": 7,
    }
    if method != "DM":
        settings |= {"outer": 3, "inner": 2, "distance": "layerwise"}
    if method == "LCMat":
        settings |= {"rho": 1.0, "curvature": "variance"}
    return CondensationConfig(DataConfig("Tiny"), method=method, ipc=ipc, **{**settings, **changes})


def real_images(data: Data) -> RealImages:
    return RealImages(data, CPU)


def smooth_network(classes: int = 3) -> Network:
    """Of 2×6×6 images, float64: convolutions with strides, groups and padding, and hidden linear layers."""
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(4, 6, 3, stride=2, groups=2),
        nn.Tanh(),
        nn.Flatten(),  # [n, 6, 2, 2] -> [n, 24]
        nn.Linear(24, 5),
        nn.Tanh(),
    )
    return Network(features, nn.Linear(5, classes)).double().eval()


def images(count: int, seed: int = 1) -> Tensor:
    """float64 [count, 2, 6, 6]."""
    return torch.randn(count, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
