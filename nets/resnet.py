"""Residual networks (He et al., 2016), in their form for small images: a 3×3 stem and no max-pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from nets.contract import BatchNorm2d, Network, NetworkSpec, Size, global_pool, torchvision_form

Shortcut = Callable[[int, int, int], nn.Module]  # (inputs, outputs, stride)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution without bias that keeps the size but for its stride, and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        BatchNorm2d(outputs),
    )


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return the shortcut that the paper calls option B: a 1×1 convolution and batch normalisation."""
    return convolution(inputs, outputs, 1, stride)


class Residual(nn.Module):
    """ReLU of a branch plus its shortcut: the identity, or ``shortcut`` where the shape changes."""

    def __init__(
        self, branch: nn.Module, inputs: int, outputs: int, stride: int, shortcut: Shortcut = projection
    ) -> None:
        super().__init__()
        self.branch = branch
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else shortcut(inputs, outputs, stride)
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps of ``x`` [n, c, h, w]."""
        return F.relu(self.branch(x) + self.shortcut(x))


def basic(inputs: int, width: int, stride: int, shortcut: Shortcut = projection) -> Residual:
    """Return a block of two 3×3 convolutions."""
    branch = nn.Sequential(convolution(inputs, width, 3, stride), nn.ReLU(), convolution(width, width, 3))
    return Residual(branch, inputs, width, stride, shortcut)


def bottleneck(inputs: int, width: int, stride: int) -> Residual:
    """Return a block of 1×1, 3×3 (with the stride) and 1×1 convolutions, the last four times as wide."""
    branch = nn.Sequential(
        convolution(inputs, width, 1),
        nn.ReLU(),
        convolution(width, width, 3, stride),
        nn.ReLU(),
        convolution(width, 4 * width, 1),
    )
    return Residual(branch, inputs, 4 * width, stride)


def resnet(
    channels: int,
    num_classes: int,
    size: Size,
    *,
    block: Callable[[int, int, int], Residual],
    depths: tuple[int, ...],
    width: int = 64,
) -> Network:
    """Return stages of ``depths`` blocks, each half the size and twice the width of the one before.

    Embedding: the last block's width.
    """
    layers: list[nn.Module] = [convolution(channels, width, 3), nn.ReLU()]
    inputs = width
    for stage, depth in enumerate(depths):
        for index in range(depth):
            layer = block(inputs, width * 2**stage, 2 if stage > 0 and index == 0 else 1)
            layers.append(layer)
            inputs = layer.outputs
    return Network(nn.Sequential(*layers, global_pool()), nn.Linear(inputs, num_classes))


def _spec(name: str, block: Callable[[int, int, int], Residual], depths: tuple[int, ...], large: str) -> NetworkSpec:
    return NetworkSpec(name, partial(resnet, block=block, depths=depths), 8, torchvision_form(large))


ResNet18 = _spec("ResNet18", basic, (2, 2, 2, 2), "resnet18")
ResNet34 = _spec("ResNet34", basic, (3, 4, 6, 3), "resnet34")
ResNet50 = _spec("ResNet50", bottleneck, (3, 4, 6, 3), "resnet50")
ResNet101 = _spec("ResNet101", bottleneck, (3, 4, 23, 3), "resnet101")
ResNet152 = _spec("ResNet152", bottleneck, (3, 8, 36, 3), "resnet152")
