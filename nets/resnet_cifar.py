"""The residual networks of He et al. (2016, section 4.2) for CIFAR: three stages of n blocks, depth 6n + 2, narrow."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from nets.contract import Network, NetworkSpec, Size, he_initialise
from nets.resnet import basic, resnet


class PaddedShortcut(nn.Module):
    """The paper's option A, without parameters: every ``stride``-th pixel, and zeros for the further channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.further = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Return every ``stride``-th pixel of ``x`` [n, c, h, w], with channels of zeros added."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.further))  # [n, outputs, h', w']


def cifar_resnet(channels: int, num_classes: int, size: Size, *, depth: int) -> Network:
    """Return three stages of (depth − 2) / 6 blocks, 16, 32 and 64 wide. Embedding: 64."""
    blocks = (depth - 2) // 6
    block = partial(basic, shortcut=PaddedShortcut)
    network = resnet(channels, num_classes, size, block=block, depths=(blocks,) * 3, width=16)
    he_initialise(network)
    return network


ResNet8 = NetworkSpec("ResNet8", partial(cifar_resnet, depth=8), smallest_image=8)
ResNet20 = NetworkSpec("ResNet20", partial(cifar_resnet, depth=20), smallest_image=8)
ResNet32 = NetworkSpec("ResNet32", partial(cifar_resnet, depth=32), smallest_image=8)
ResNet56 = NetworkSpec("ResNet56", partial(cifar_resnet, depth=56), smallest_image=8)
