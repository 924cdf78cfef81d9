"""VGG with batch normalisation (Simonyan and Zisserman, 2015), with one linear layer on small images."""

from __future__ import annotations

from functools import partial

from torch import nn

from nets.contract import BatchNorm2d, Network, NetworkSpec, Size, global_pool, stem_padding, torchvision_form

WIDTHS = (64, 128, 256, 512, 512)


def vgg(channels: int, num_classes: int, size: Size, *, depths: tuple[int, ...]) -> Network:
    """Return five stages of ``depths`` 3×3 convolutions, each halved, then a global mean. Embedding: 512."""
    layers: list[nn.Module] = []
    inputs, padding = channels, stem_padding(size, 1)
    for depth, outputs in zip(depths, WIDTHS, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=padding), BatchNorm2d(outputs), nn.ReLU()]
            inputs, padding = outputs, (1, 1)
        layers.append(nn.MaxPool2d(2))
    return Network(nn.Sequential(*layers, global_pool()), nn.Linear(inputs, num_classes))


VGG11 = NetworkSpec("VGG11", partial(vgg, depths=(1, 1, 2, 2, 2)), 28, torchvision_form("vgg11_bn"))
VGG13 = NetworkSpec("VGG13", partial(vgg, depths=(2, 2, 2, 2, 2)), 28, torchvision_form("vgg13_bn"))
VGG16 = NetworkSpec("VGG16", partial(vgg, depths=(2, 2, 3, 3, 3)), 28, torchvision_form("vgg16_bn"))
VGG19 = NetworkSpec("VGG19", partial(vgg, depths=(2, 2, 4, 4, 4)), 28, torchvision_form("vgg19_bn"))
