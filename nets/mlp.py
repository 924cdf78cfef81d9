"""A multilayer perceptron with two hidden layers."""

from __future__ import annotations

from torch import nn

from nets.contract import Network, NetworkSpec, Size


def mlp(channels: int, num_classes: int, size: Size) -> Network:
    """Return layers of 128, 128 and ``num_classes`` units. Embedding: 128."""
    height, width = size
    features = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
    )
    return Network(features, nn.Linear(128, num_classes))


MLP = NetworkSpec("MLP", mlp, smallest_image=1)
