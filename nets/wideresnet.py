"""Wide residual networks (Zagoruyko and Komodakis, 2016): WRN<depth><width>, pre-activation, no dropout."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from nets.contract import (
    LARGE_IMAGE,
    BatchNorm2d,
    Network,
    NetworkSpec,
    Size,
    global_pool,
    he_initialise,
    stem_padding,
    torchvision_form,
)


class PreActivation(nn.Module):
    """Normalisation, ReLU and 3×3 convolution, twice; where the width grows, a 1×1 shortcut after the first ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(inputs)
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps of ``x`` [n, c, h, w]."""
        active = F.relu(self.norm(x))
        return self.branch(active) + (x if self.shortcut is None else self.shortcut(active))


def wide_resnet(channels: int, num_classes: int, size: Size, *, depth: int, width: int) -> Network:
    """Return three stages of (depth − 4) / 6 blocks, the last two halved. Embedding: 64·width."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=stem_padding(size, 1), bias=False)]
    inputs = 16
    for outputs, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
        for index in range((depth - 4) // 6):
            layers.append(PreActivation(inputs, outputs, stride if index == 0 else 1))
            inputs = outputs
    features = nn.Sequential(*layers, BatchNorm2d(inputs), nn.ReLU(), global_pool())
    he_initialise(features)
    return Network(features, nn.Linear(inputs, num_classes))


WRN168 = NetworkSpec("WRN168", partial(wide_resnet, depth=16, width=8), smallest_image=8)
WRN282 = NetworkSpec("WRN282", partial(wide_resnet, depth=28, width=2), smallest_image=8)
WRN2810 = NetworkSpec("WRN2810", partial(wide_resnet, depth=28, width=10), smallest_image=8)
WRN502 = NetworkSpec("WRN502", torchvision_form("wide_resnet50_2"), smallest_image=LARGE_IMAGE)
WRN1012 = NetworkSpec("WRN1012", torchvision_form("wide_resnet101_2"), smallest_image=LARGE_IMAGE)
