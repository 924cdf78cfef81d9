"""Class by class, the gradient of the mean cross-entropy with respect to every weight of a network.

Weights are those of convolutions and linear layers, as [out, rest]; biases and the scales of normalisation
layers take no part in matching. The network is in evaluation mode, where images do not act on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from condensation.curvature import Curvature
from condensation.real_batches import passes
from nets import Network
from utils.device import moved

IMAGES_AT_ONCE = 4096  # real ones; a ConvNet takes 3 MB for one of 3×32×32, a ResNet18 9 MB


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
    network: Network,
    batches: Sequence[Tensor],
    classes: Sequence[int],
    curvature: Curvature | None,
    at_once: int = IMAGES_AT_ONCE,
) -> ClassGradients:
    """Return the gradients of batches [b, channels, H, W] of one class each, detached.

    On a GPU ``at_once`` images go through the network together.
    """
    parts = [
        _class_gradients(network, torch.cat(list(batches[group])), classes[group], curvature, differentiable=False)
        for group in passes(batches, at_once)
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
    gradients: Tensor = _WeightGradients.apply(layer, k, _side_by_side(x, k), _side_by_side(delta, k))
    return gradients.view(k, layer.out_channels, -1)  # [k, out, rest]


def _side_by_side(x: Tensor, k: int) -> Tensor:
    """Put k classes beside each other as channels: [k·m, c, h, w] -> [m, k·c, h, w]."""
    return x.unflatten(0, (k, -1)).transpose(0, 1).flatten(1, 2)


class _WeightGradients(Function):
    """The weight gradients [k·out, in/g, …] of a convolution with g groups, as those of one with k·g groups.

    They are linear in input and output gradient alike, so the derivative by either is a convolution by what comes back.
    """

    @staticmethod
    def forward(ctx: Any, layer: nn.Conv2d, k: int, x: Tensor, delta: Tensor) -> Tensor:
        ctx.layer, ctx.k = layer, k
        ctx.save_for_backward(x, delta)
        shape = x.new_empty(k * layer.out_channels, *layer.weight.shape[1:])
        return _convolution_backward(layer, k, delta, x, shape, (False, True, False))[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[None, None, Tensor, Tensor]:
        layer, k = ctx.layer, ctx.k
        x, delta = ctx.saved_tensors
        of_x = _convolution_backward(layer, k, delta, x, weights, (True, False, False))[0]
        of_delta = F.conv2d(x, weights, None, layer.stride, layer.padding, layer.dilation, k * layer.groups)
        return None, None, of_x, of_delta


def _convolution_backward(
    layer: nn.Conv2d, k: int, delta: Tensor, x: Tensor, weights: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return those that are wanted of the gradients of input, weight and bias."""
    steps = (layer.stride, layer.padding, layer.dilation)
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        delta, x, weights, None, *steps, False, (0, 0), k * layer.groups, wanted
    )
    return gradients
