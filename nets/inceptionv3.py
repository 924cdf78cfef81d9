"""Inception v3 (Szegedy et al., 2016), for small images: a stem that keeps the size, no auxiliary head.

Besides the stem it differs from torchvision's so: A's pooling branch has a 3×3 convolution, C's shorter branch goes
7×1 first, and D's pooling is a mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nets.contract import BatchNorm2d, Network, NetworkSpec, Size, stem_padding, torchvision_form


class Branches(nn.Module):
    """Several branches from the same maps, their results concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' maps of ``x`` [n, c, h, w], concatenated along the channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)  # [n, sum of c, h, w]


def convolution(
    inputs: int, outputs: int, kernel: int | Size, stride: int = 1, padding: int | Size = 0
) -> nn.Sequential:
    """Return a convolution without bias, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), BatchNorm2d(outputs), nn.ReLU()
    )


def tall(inputs: int, outputs: int, length: int) -> nn.Sequential:
    """Return a ``length``×1 convolution that keeps the size."""
    return convolution(inputs, outputs, (length, 1), padding=(length // 2, 0))


def flat(inputs: int, outputs: int, length: int) -> nn.Sequential:
    """Return a 1×``length`` convolution that keeps the size."""
    return convolution(inputs, outputs, (1, length), padding=(0, length // 2))


def mean_of_neighbours() -> nn.AvgPool2d:
    """Return a 3×3 mean that keeps the size."""
    return nn.AvgPool2d(3, stride=1, padding=1)


def block_a(inputs: int, pooled: int) -> Branches:
    """Return a block to 224 + ``pooled`` maps of the same size."""
    return Branches(
        convolution(inputs, 64, 1),
        nn.Sequential(convolution(inputs, 48, 1), convolution(48, 64, 5, padding=2)),
        nn.Sequential(convolution(inputs, 64, 1), convolution(64, 96, 3, padding=1), convolution(96, 96, 3, padding=1)),
        nn.Sequential(mean_of_neighbours(), convolution(inputs, pooled, 3, padding=1)),
    )


def block_b(inputs: int) -> Branches:
    """Return a block to 480 + ``inputs`` maps of half the size."""
    return Branches(
        convolution(inputs, 384, 3, stride=2),
        nn.Sequential(convolution(inputs, 64, 1), convolution(64, 96, 3, padding=1), convolution(96, 96, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def block_c(inputs: int, width: int) -> Branches:
    """Return a block to 768 maps of the same size, ``width`` maps between its convolutions."""
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
    """Return a block to 512 + ``inputs`` maps of half the size."""
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
    """Return a block to 2048 maps of the same size."""
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
    """Return Inception v3: maps of 30², 14² and 6² at 32×32, a global mean, dropout. Embedding: 2048."""
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
