"""Real and synthetic images of every class, augmented alike: what one step of any method compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from condensation.config import CondensationConfig
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages
from utils.data.siamese import Siamese

_IMAGES_AT_ONCE = 256  # synthetic images whose autograd graph is held
_PLACES_AT_ONCE = 1 << 14  # on a CPU, where classes together are slower than alone above that


@dataclass(frozen=True, eq=False)
class Pair:
    """Real and synthetic images of k classes that go through a network together.

    Attributes:
        pixels: float32 [k·ipc, C, H, W], in class order; gradients are taken with respect to them.
        synthetic: those after augmentation.
        real: of each class a batch [b, C, H, W], augmented by the same draw.
    """

    classes: range
    pixels: Tensor
    synthetic: Tensor
    real: list[Tensor]


def class_groups(num_classes: int, pixels: Tensor) -> list[range]:
    """Group all classes by as many as suit memory and speed; ``pixels`` are [num_classes·ipc, C, H, W]."""
    images = _IMAGES_AT_ONCE
    if pixels.device.type == "cpu":
        images = min(images, _PLACES_AT_ONCE // pixels[0, 0].numel())
    size = max(1, images * num_classes // len(pixels))
    return [range(start, min(start + size, num_classes)) for start in range(0, num_classes, size)]


def pairs(config: CondensationConfig, images: RealImages, pixels: Tensor, streams: RandomStreams) -> Iterator[Pair]:
    """Yield every class once; ``pixels`` are all synthetic images in class order, float32 [classes·ipc, C, H, W]."""
    siamese, ipc = Siamese.of(config.strategy), config.ipc
    choices, draws = streams.generator("real"), streams.generator("siamese")
    for classes in class_groups(images.num_classes, pixels):
        ours = pixels[classes.start * ipc : classes.stop * ipc].detach().requires_grad_()  # [k·ipc, C, H, W]
        real = images.batches(classes, config.real_batch, choices)
        drawn = [siamese.draw(1, draws) for _ in classes]
        synthetic = siamese.apply_each(ours.split(ipc), drawn)
        yield Pair(classes, ours, torch.cat(synthetic), siamese.apply_each(real, drawn))
