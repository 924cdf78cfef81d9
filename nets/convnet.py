"""The small convolutional network of the condensation literature (Gidaris and Komodakis, 2018)."""

from __future__ import annotations

from torch import nn

from nets.contract import Network, NetworkSpec, Size, stem_padding


def convnet(channels: int, num_classes: int, size: Size) -> Network:
    """Return three blocks: 3×3 convolution, instance normalisation, ReLU, 2×2 mean. Embedding: 2048 at 32×32."""
    padding = stem_padding(size, 1)
    height, width = ((side + 2 * pad - 2) // 8 for side, pad in zip(size, padding, strict=True))
    layers: list[nn.Module] = []
    inputs = channels
    for _ in range(3):
        layers += [
            nn.Conv2d(inputs, 128, 3, padding=padding),
            nn.GroupNorm(128, 128),
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
        inputs, padding = 128, (1, 1)
    features = nn.Sequential(*layers, nn.Flatten())  # [n, 128, h, w] -> [n, 128 h w]
    return Network(features, nn.Linear(128 * height * width, num_classes))


ConvNet = NetworkSpec("ConvNet", convnet, smallest_image=8)
