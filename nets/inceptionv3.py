"""Inception v3 (Szegedy et al., 2016), for small images: a stem that keeps the size, no auxiliary head.

Against torchvision's, besides the stem: A's pooling branch has a 3×3 convolution, C's shorter branch goes 7×1
first, and D's pooling is a mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nets.contract import BatchNorm2d, Network, NetworkSpec, Size, stem_padding, torchvision_form


class Branches(nn.Module):
    """The maps of several branches, one after another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)  # [n, sum of c, h, w]


def convolution(
    inputs: int, outputs: int, kernel: int | Size, stride: int = 1, padding: int | Size = 0
) -> nn.Sequential:
    """An unbiased convolution, normalised, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), BatchNorm2d(outputs), nn.ReLU()
    )


def tall(inputs: int, outputs: int, length: int) -> nn.Sequential:
    """A ``length``×1 convolution that keeps the size."""
    return convolution(inputs, outputs, (length, 1), padding=(length // 2, 0))


def flat(inputs: int, outputs: int, length: int) -> nn.Sequential:
    """A 1×``length`` convolution that keeps the size."""
    return convolution(inputs, outputs, (1, length), padding=(0, length // 2))


def mean_of_neighbours() -> nn.AvgPool2d:
    """A 3×3 mean that keeps the size."""
    return nn.AvgPool2d(3, stride=1, padding=1)


def block_a(inputs: int, pooled: int) -> Branches:
    """To 224 + ``pooled`` maps of the same size."""
    return Branches(
        convolution(inputs, 64, 1),
        nn.Sequential(convolution(inputs, 48, 1), convolution(48, 64, 5, padding=2)),
        nn.Sequential(convolution(inputs, 64, 1), convolution(64, 96, 3, padding=1), convolution(96, 96, 3, padding=1)),
        nn.Sequential(mean_of_neighbours(), convolution(inputs, pooled, 3, padding=1)),
    )


def block_b(inputs: int) -> Branches:
    """To 480 + ``inputs`` maps of half the size."""
    return Branches(
        convolution(inputs, 384, 3, stride=2),
        nn.Sequential(convolution(inputs, 64, 1), convolution(64, 96, 3, padding=1), convolution(96, 96, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def block_c(inputs: int, width: int) -> Branches:
    """To 768 maps of the same size, by way of ``width``."""
    return Branches(
        convolution(inputs, 192, 1),
        nn.Sequential(convolution(inputs, width, 1), tall(width, width, 7), flat(width, 192, 7)),
        nn.Sequential(
            convolution(inputs, width, 1),
            tall(width, width, 7),
            flat(width, width, 7),
            tall(width, width, 7),
            flat(width, 192, 7),
        ),
        nn.Sequential(mean_of_neighbours(), convolution(inputs, 192, 1)),
    )


def block_d(inputs: int) -> Branches:
    """To 512 + ``inputs`` maps of half the size."""
    return Branches(
        nn.Sequential(convolution(inputs, 192, 1), convolution(192, 320, 3, stride=2)),
        nn.Sequential(
            convolution(inputs, 192, 1),
            flat(192, 192, 7),
            tall(192, 192, 7),
            convolution(192, 192, 3, stride=2),
        ),
        nn.AvgPool2d(3, stride=2),
    )


def block_e(inputs: int) -> Branches:
    """To 2048 maps of the same size."""
    return Branches(
        convolution(inputs, 320, 1),
        nn.Sequential(convolution(inputs, 384, 1), Branches(flat(384, 384, 3), tall(384, 384, 3))),
        nn.Sequential(
            convolution(inputs, 448, 1),
            convolution(448, 384, 3, padding=1),
            Branches(flat(384, 384, 3), tall(384, 384, 3)),
        ),
        nn.Sequential(mean_of_neighbours(), convolution(inputs, 192, 1)),
    )


def inception_v3(channels: int, num_classes: int, size: Size) -> Network:
    """Maps of 30², 14² and 6² at 32×32, a global mean, dropout. Embedding: 2048."""
    features = nn.Sequential(
        convolution(channels, 32, 3, padding=stem_padding(size, 1)),
        convolution(32, 32, 3, padding=1),
        convolution(32, 64, 3, padding=1),
        convolution(64, 80, 1),
        convolution(80, 192, 3),
        block_a(192, 32),
        block_a(256, 64),
        block_a(288, 64),
        block_b(288),
        block_c(768, 128),
        block_c(768, 160),
        block_c(768, 160),
        block_c(768, 192),
        block_d(768),
        block_e(1280),
        block_e(2048),
        nn.AdaptiveAvgPool2d(1),
        nn.Dropout2d(0.5),
        nn.Flatten(),  # [n, 2048, 1, 1] -> [n, 2048]
    )
    return Network(features, nn.Linear(2048, num_classes))


InceptionV3 = NetworkSpec(
    "InceptionV3",
    inception_v3,
    smallest_image=28,
    large=torchvision_form("inception_v3", aux_logits=False, init_weights=True),
)
