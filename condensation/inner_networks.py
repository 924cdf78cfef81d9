"""The networks that a condensation matches under: freshly drawn, then trained on the synthetic images."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nets
from condensation.random_streams import RandomStreams
from utils.data.registry import DataSpec
from utils.data.siamese import Siamese
from utils.device import moved

BATCH = 256
_LR = 0.01


def fresh_network(model: str, spec: DataSpec, streams: RandomStreams, device: torch.device) -> nets.Network:
    """Build a newly initialised network in evaluation mode."""
    streams.seed_torch("network")
    network = nets.build(model, spec.channels, spec.num_classes, spec.im_size).eval()
    return network._apply(lambda tensor: moved(tensor, device))


def has_batch_norm(network: nets.Network) -> bool:
    """Return whether the network has batch normalisation."""
    return bool(_batch_norms(network))


def fix_statistics(network: nets.Network, images: Tensor) -> None:
    """Set the running statistics of batch normalisation to those of ``images`` [n, C, H, W]."""
    norms = _batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum


def train_on(
    network: nets.Network,
    forward: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    epochs: int,
    siamese: Siamese,
    streams: RandomStreams,
) -> None:
    """Train the network, in place, by plain descent on images [m, C, H, W] with labels int64 [m].

    ``forward`` is the network itself, or what it was compiled to.
    """
    streams.seed_torch("inner")
    draws = streams.generator("inner")
    optimizer = torch.optim.SGD(network.parameters(), lr=_LR, fused=True)
    network.train()
    for _ in range(epochs):
        for rows in moved(torch.randperm(len(labels), generator=draws), labels.device).split(BATCH):
            x = siamese.apply(pixels[rows], siamese.draw(len(rows), draws))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(forward(x), labels[rows]).backward()
            optimizer.step()
    network.eval()


def _batch_norms(network: nets.Network) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
