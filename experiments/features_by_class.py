"""Features by batch statistics of a single class: what the released code of LCMat scores by.

In training mode batch normalisation takes the statistics of the batch. Over batches of one class a network is right
on chance level only, and gradients are all of a size. Running statistics stay as they are, and dropout stays off, so
that features are not random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from methods.features import Features
from nets import Network
from utils.data.batches import Batches
from utils.distributed import World
from utils.training.evaluation import embed_and_classify

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def has_batch_statistics(network: nn.Module) -> bool:
    """Return whether the network looks at its batch's statistics in training mode."""
    return any(isinstance(module, _NORMALISATIONS) for module in network.modules())


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation take the statistics of each batch within the block, without keeping them."""
    norms = [module for module in network.modules() if isinstance(module, _NORMALISATIONS)]
    for norm in norms:
        norm.train()
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.eval()
            norm.track_running_stats = True


def features_by_class(
    network: Network, labels: Tensor, size: int, batches: Callable[[Tensor], Batches], world: World
) -> Features:
    """Return the features of n images, those of each class looked at in batches of their own.

    Args:
        network: in evaluation mode.
        labels: int64 [n], on the device that computes.
        size: images in a batch; the last one of a class has what is left.
        batches: from positions int64 [m] among the n images to their batches of ``size``, in order.
        world: the ranks that share out the classes; each is given everything.
    """
    n, classifier = len(labels), network.classifier
    z = torch.zeros(n, network.embedding_dim, device=labels.device)  # [n, d]
    f = torch.zeros(n, classifier.out_features, device=labels.device)  # [n, C]
    shares = torch.zeros(n, device=labels.device)
    with batch_statistics(network):
        for label in range(classifier.out_features)[world.shard(classifier.out_features)]:
            members = (labels == label).nonzero()[:, 0]  # [m]
            if not len(members):
                continue
            z[members], f[members], _ = embed_and_classify(network.embed, classifier, batches(members))
            for batch in members.split(size):
                shares[batch] = 1 / len(batch)
    features = Features.of(world.all_reduce(z), world.all_reduce(f), labels)
    return Features(features.embeddings, features.logits, labels, world.all_reduce(shares))
