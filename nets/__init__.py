# ruff: noqa: F401
"""The networks by name.

To add one, write its file and import its ``NetworkSpec`` here: the imports are the table.
"""

from __future__ import annotations

import utils  # before torch: see there

# isort: split
from collections.abc import Sequence

from nets.alexnet import AlexNet
from nets.contract import Network, NetworkSpec
from nets.convnet import ConvNet
from nets.inceptionv3 import InceptionV3
from nets.lenet import LeNet
from nets.mlp import MLP
from nets.mobilenetv3 import MobileNetV3Large, MobileNetV3Small
from nets.resnet import ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from nets.resnet_cifar import ResNet8, ResNet20, ResNet32, ResNet56
from nets.vgg import VGG11, VGG13, VGG16, VGG19
from nets.wideresnet import WRN168, WRN282, WRN502, WRN1012, WRN2810
from utils.errors import choose

NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec for spec in tuple(globals().values()) if isinstance(spec, NetworkSpec)
}


def find(name: str) -> NetworkSpec:
    """Return the network of that name, in any case.

    Raises:
        UserError: there is none; lists those there are.
    """
    return NETWORKS[choose("network", name, NETWORKS)]


def build(name: str, channels: int, num_classes: int, im_size: int | Sequence[int]) -> Network:
    """Return the network of that name, freshly initialised from torch's global random state.

    Raises:
        UserError: no such network, or the images are too small for it.
    """
    return find(name)(channels, num_classes, im_size)


def smallest_image(name: str) -> int:
    """Return the smallest height and width that the network of that name takes.

    Raises:
        UserError: no such network.
    """
    return find(name).smallest_image
