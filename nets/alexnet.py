"""AlexNet for small images, without normalisation or dropout (after Krizhevsky et al., 2012)."""

from __future__ import annotations

from torch import nn

from nets.contract import Network, NetworkSpec, Size, stem_padding, torchvision_form


def alexnet(channels: int, num_classes: int, size: Size) -> Network:
    """Return five convolutions, halved after the first, second and fifth. Embedding: 192 maps, 3072 at 32×32."""
    padding = stem_padding(size, 2)
    height, width = ((side + 2 * pad - 4) // 8 for side, pad in zip(size, padding, strict=True))
    features = nn.Sequential(
        nn.Conv2d(channels, 128, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(128, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(192, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 192, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(192, 192, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),  # [n, 192, h, w] -> [n, 192 h w]
    )
    return Network(features, nn.Linear(192 * height * width, num_classes))


AlexNet = NetworkSpec("AlexNet", alexnet, smallest_image=28, large=torchvision_form("alexnet"))
