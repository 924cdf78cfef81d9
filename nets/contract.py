"""The contract that every network keeps, and the description by which one is checked and built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.errors import UserError

Size = tuple[int, int]  # height, width
LARGE_IMAGE = 224  # from this height and width up, a network with a large form takes that form


class Network(nn.Module):
    """An embedding with one linear layer on top: all that selection and training know of a network.

    Its initial parameters depend on torch's global random state alone.

    Args:
        features: maps images [n, c, h, w] to embeddings [n, d]; dropout, if any, is in here.
        classifier: maps embeddings [n, d] to logits [n, C].
    """

    def __init__(self, features: nn.Module, classifier: nn.Linear) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    @property
    def embedding_dim(self) -> int:
        """Return d, the width of the embedding."""
        return self.classifier.in_features

    def embed(self, x: Tensor) -> Tensor:
        """Return the embeddings [n, d] of images [n, c, h, w]."""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [n, C] of images [n, c, h, w]."""
        return self.classifier(self.embed(x))


Builder = Callable[[int, int, Size], Network]  # (channels, num_classes, size)


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name, called as ``ResNet18(channel, num_classes, im_size)``.

    Args:
        name: what flags, run folders and tables call it.
        build: builds it for images smaller than ``LARGE_IMAGE``, or for all where there is no large form.
        smallest_image: the smallest height and width that it takes.
        large: builds it for images from ``LARGE_IMAGE`` up.
    """

    name: str
    build: Builder
    smallest_image: int
    large: Builder | None = None

    def __call__(self, channel: int, num_classes: int, im_size: int | Sequence[int]) -> Network:
        """Return a freshly initialised network; ``im_size`` is the side of its images, or their height and width.

        Raises:
            UserError: the images are too small for it; names the smallest that it takes.
        """
        height, width = (im_size, im_size) if isinstance(im_size, int) else im_size
        if min(height, width) < self.smallest_image:
            smallest = f"{self.smallest_image}x{self.smallest_image}"
            raise UserError(
                f"{self.name} takes no images smaller than {smallest}, and these are {height}x{width}; "
                "enlarge them, or take a network for small images, such as ConvNet"
            )
        if self.large is not None and min(height, width) >= LARGE_IMAGE:
            return self.large(channel, num_classes, (height, width))
        return self.build(channel, num_classes, (height, width))


def torchvision_form(model: str, **options: bool) -> Builder:
    """Return a builder of the torchvision model of that name, its last linear layer split off as the classifier.

    Where the images do not have three channels, the first convolution is replaced by one that takes them.
    """

    def build(channels: int, num_classes: int, size: Size) -> Network:
        from torchvision.models import get_model  # here, because importing it takes seconds

        trunk = get_model(model, weights=None, num_classes=num_classes, **options)
        if channels != 3:
            stem = next(module for module in trunk.modules() if isinstance(module, nn.Conv2d))
            stem.in_channels = channels
            stem.weight = nn.Parameter(torch.empty(stem.out_channels, channels, *stem.kernel_size))
            stem.reset_parameters()
        name, classifier = [(n, m) for n, m in trunk.named_modules() if isinstance(m, nn.Linear)][-1]
        trunk.set_submodule(name, nn.Identity())
        return Network(trunk, classifier)

    return build


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel.

    One 1×1 map has no variance, and torch raises there: a last batch of one image in a network whose maps
    have shrunk to 1×1. Such a batch is normalised by the running statistics, which it leaves as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input`` [n, c, h, w] normalised."""
        if self.training and input.numel() == self.num_features:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(input, mean, variance, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(input)


def stem_padding(size: Size, padding: int) -> Size:
    """Return the first convolution's padding: ``padding``, and 2 more on sides of 28, which become 32 so.

    Sides up to 31 are padded too, so that five halvings leave something of every side from 28 up.
    """
    height, width = (padding + 2 if 28 <= side < 32 else padding for side in size)
    return height, width


def global_pool() -> nn.Sequential:
    """Return a module from maps [n, c, h, w] to their means [n, c]."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def he_initialise(network: nn.Module) -> None:
    """Draw every convolution's weights as He et al. (2015) do, by fan-out for ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
