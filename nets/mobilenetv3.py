"""MobileNetV3 (Howard et al., 2019)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from nets.contract import (
    BatchNorm2d,
    Network,
    NetworkSpec,
    Size,
    global_pool,
    he_initialise,
    stem_padding,
    torchvision_form,
)

R, H = nn.ReLU, nn.Hardswish


class Row(NamedTuple):
    """One inverted residual block."""

    kernel: int
    expansion: float
    outputs: int
    excite: bool
    activation: type[nn.Module]
    stride: int


SMALL = (
    Row(3, 1, 16, True, R, 2),
    Row(3, 4.5, 24, False, R, 2),
    Row(3, 3.67, 24, False, R, 1),
    Row(5, 4, 40, True, H, 2),
    Row(5, 6, 40, True, H, 1),
    Row(5, 6, 40, True, H, 1),
    Row(5, 3, 48, True, H, 1),
    Row(5, 3, 48, True, H, 1),
    Row(5, 6, 96, True, H, 2),
    Row(5, 6, 96, True, H, 1),
    Row(5, 6, 96, True, H, 1),
)
LARGE = (
    Row(3, 1, 16, False, R, 1),
    Row(3, 4, 24, False, R, 2),
    Row(3, 3, 24, False, R, 1),
    Row(5, 3, 40, True, R, 2),
    Row(5, 3, 40, True, R, 1),
    Row(5, 3, 40, True, R, 1),
    Row(3, 6, 80, False, H, 2),
    Row(3, 2.5, 80, False, H, 1),
    Row(3, 2.3, 80, False, H, 1),
    Row(3, 2.3, 80, False, H, 1),
    Row(3, 6, 112, True, H, 1),
    Row(3, 6, 112, True, H, 1),
    Row(5, 6, 160, True, H, 2),
    Row(5, 6, 160, True, H, 1),
    Row(5, 6, 160, True, H, 1),
)


class Excite(nn.Module):
    """Squeeze and excitation: each map times a gate computed from the means of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = round_to_8(width / 4)
        self.gate = nn.Sequential(
            global_pool(), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` [n, c, h, w] times its gates."""
        return x * self.gate(x)[:, :, None, None]  # [n, c] -> [n, c, 1, 1]


class InvertedResidual(nn.Module):
    """Expansion 1×1, depthwise convolution, excitation and projection 1×1; added to the input where shapes agree."""

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        hidden = round_to_8(inputs * row.expansion)
        depthwise = convolution(hidden, hidden, row.kernel, row.stride, groups=hidden)
        excite = [Excite(hidden)] if row.excite else []
        layers: list[nn.Module]
        if hidden == inputs:
            layers = [depthwise, row.activation(), *excite]
        else:
            layers = [convolution(inputs, hidden, 1), row.activation(), depthwise, *excite, row.activation()]
        self.branch = nn.Sequential(*layers, convolution(hidden, row.outputs, 1))
        self.added = row.stride == 1 and inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps of ``x`` [n, c, h, w]."""
        return x + self.branch(x) if self.added else self.branch(x)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution without bias that keeps the size but for its stride, and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        BatchNorm2d(outputs),
    )


def round_to_8(width: float) -> int:
    """Return the nearest multiple of 8 that is at least 8 and not less than 0.9 of ``width``."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def mobilenet_v3(channels: int, num_classes: int, size: Size, *, rows: tuple[Row, ...], embedding_dim: int) -> Network:
    """Return a stem of stride 2, one block a row, and a hidden layer. Embedding: ``embedding_dim``."""
    stem = nn.Conv2d(channels, 16, 3, 2, padding=stem_padding(size, 1), bias=False)
    layers: list[nn.Module] = [stem, BatchNorm2d(16), nn.Hardswish()]
    inputs = 16
    for row in rows:
        layers.append(InvertedResidual(inputs, row))
        inputs = row.outputs
    hidden = round_to_8(inputs * rows[-1].expansion)
    tail = [
        convolution(inputs, hidden, 1),
        nn.Hardswish(),
        global_pool(),
        nn.Linear(hidden, embedding_dim),
        nn.Hardswish(),
        nn.Dropout(0.2),
    ]
    features = nn.Sequential(*layers, *tail)
    he_initialise(features)
    return Network(features, nn.Linear(embedding_dim, num_classes))


MobileNetV3Small = NetworkSpec(
    "MobileNetV3Small",
    partial(mobilenet_v3, rows=SMALL, embedding_dim=1024),
    smallest_image=8,
    large=torchvision_form("mobilenet_v3_small"),
)
MobileNetV3Large = NetworkSpec(
    "MobileNetV3Large",
    partial(mobilenet_v3, rows=LARGE, embedding_dim=1280),
    smallest_image=8,
    large=torchvision_form("mobilenet_v3_large"),
)
