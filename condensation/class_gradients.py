"""Class by class, the gradient of the mean cross-entropy with respect to every weight of a network.

Weights are those of convolutions and linear layers, as [out, rest]; biases and the scales of normalisation
layers take no part in matching. The network is in evaluation mode, where images do not act on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensation.curvature import Curvature
from condensation.real_batches import passes
from nets import Network
from utils.device import moved

_IMAGES_AT_ONCE = 256  # real images that are too few to keep a GPU busy


@dataclass(frozen=True, eq=False)
class ClassGradients:
    """The gradients, and the curvature if it is matched, of k classes.

    Attributes:
        gradients: of each layer [k, out, rest].
        curvature: of the last layer [k, C, d + 1], or None where it is not matched.
    """

    gradients: tuple[Tensor, ...]
    curvature: Tensor | None


def real_class_gradients(
    network: Network, batches: Sequence[Tensor], classes: Sequence[int], curvature: Curvature | None
) -> ClassGradients:
    """Return the gradients of batches [b, channels, H, W] of one class each, detached; small batches go together."""
    parts = [
        _class_gradients(network, torch.cat(list(batches[group])), classes[group], curvature, differentiable=False)
        for group in passes(batches, _IMAGES_AT_ONCE)
    ]
    gradients = tuple(torch.cat(of_layer) for of_layer in zip(*(part.gradients for part in parts), strict=True))
    curvatures = [part.curvature for part in parts if part.curvature is not None]
    return ClassGradients(gradients, torch.cat(curvatures) if curvatures else None)


def synthetic_class_gradients(
    network: Network, images: Tensor, classes: Sequence[int], curvature: Curvature | None
) -> ClassGradients:
    """Return the gradients of images [k·m, channels, H, W], m a class in order, differentiable to the pixels."""
    return _class_gradients(network, images, classes, curvature, differentiable=True)


def _class_gradients(
    network: Network, images: Tensor, classes: Sequence[int], curvature: Curvature | None, differentiable: bool
) -> ClassGradients:
    """Return the gradients of images [k·m, channels, H, W], m a class in order.

    All classes go through the network at once. A weight's gradient is the sum over images (and places) of its
    layer's input times the loss gradient of its output, so it splits by class without another pass.
    """
    k = len(classes)
    labels = moved(torch.tensor(classes), images.device).repeat_interleave(
        len(images) // k, output_size=len(images)
    )  # [k·m]
    layers = weighted_layers(network)
    if k == 1:
        return _one_class_gradients(network, images, labels, curvature, differentiable)
    with _recorded(layers) as seen:
        logits = network(images)
    inputs, outputs = zip(*(seen[layer] for layer in layers), strict=True)
    loss = F.cross_entropy(logits, labels, reduction="sum") * k / len(images)  # the sum of the classes' means
    deltas = torch.autograd.grad(loss, outputs, create_graph=differentiable)
    with torch.set_grad_enabled(differentiable):
        gradients = tuple(
            _linear(x, delta, k) if isinstance(layer, nn.Linear) else _convolution(layer, x, delta, k)
            for layer, x, delta in zip(layers, inputs, deltas, strict=True)
        )
        if curvature is None:
            return ClassGradients(gradients, None)
        z = inputs[-1].unflatten(0, (k, -1))  # [k, m, d]
        return ClassGradients(gradients, curvature(z, logits.unflatten(0, (k, -1)), labels.view(k, -1)))


def _one_class_gradients(
    network: Network, images: Tensor, labels: Tensor, curvature: Curvature | None, differentiable: bool
) -> ClassGradients:
    """Return the gradients of the images of a single class, straight from autograd."""
    z = network.embed(images)
    logits = network.classifier(z)
    weights = [layer.weight for layer in weighted_layers(network)]
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), weights, create_graph=differentiable)
    rows = tuple(gradient.flatten(1)[None] for gradient in gradients)  # [1, out, rest]
    with torch.set_grad_enabled(differentiable):
        return ClassGradients(rows, None if curvature is None else curvature(z[None], logits[None], labels[None]))


def weighted_layers(network: Network) -> list[nn.Conv2d | nn.Linear]:
    """Return the layers whose weights are matched, the classifier last."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


@contextmanager
def _recorded(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Record input and output of each of the layers when the network runs within the block."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen[layer] = inputs[0], output
        return output.clone()  # what follows may work in place

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _linear(x: Tensor, delta: Tensor, k: int) -> Tensor:
    """Return the gradients [k, out, in] from inputs x [k·m, in] and output gradients delta [k·m, out]."""
    return delta.unflatten(0, (k, -1)).mT @ x.unflatten(0, (k, -1))


def _convolution(layer: nn.Conv2d, x: Tensor, delta: Tensor, k: int) -> Tensor:
    """Return the gradients [k, out, rest] from x [k·m, in, h, w] and delta [k·m, out, h', w']."""
    padding = cast("tuple[int, int]", layer.padding)
    patches = F.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)  # [k·m, in·p, h'·w']
    groups = layer.groups
    patches = patches.view(k, -1, groups, patches.shape[1] // groups, patches.shape[2])  # [k, m, g, rest, h'·w']
    delta = delta.reshape(k, -1, groups, delta.shape[1] // groups, patches.shape[4])  # [k, m, g, out/g, h'·w']
    return torch.einsum("kmgol,kmgrl->kgor", delta, patches).flatten(1, 2)  # [k, out, rest]
