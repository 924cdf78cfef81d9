"""LeNet-5 with ReLU and max-pooling (LeCun et al., 1998)."""

from __future__ import annotations

from torch import nn

from nets.contract import Network, NetworkSpec, Size, stem_padding


def lenet(channels: int, num_classes: int, size: Size) -> Network:
    """Return two unpadded 5×5 convolutions, each halved, and two hidden layers. Embedding: 84."""
    padding = stem_padding(size, 0)
    height, width = (((side + 2 * pad - 4) // 2 - 4) // 2 for side, pad in zip(size, padding, strict=True))
    features = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),  # [n, 16, h, w] -> [n, 16 h w]
        nn.Linear(16 * height * width, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
    )
    return Network(features, nn.Linear(84, num_classes))


LeNet = NetworkSpec("LeNet", lenet, smallest_image=28)
