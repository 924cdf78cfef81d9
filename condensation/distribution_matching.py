"""Distribution matching, DM (Zhao and Bilen, 2023): the mean embedding of every class under random networks."""

from __future__ import annotations

import torch
from torch import Tensor

from condensation.class_pairs import pairs
from condensation.config import CondensationConfig
from condensation.objective import Terms
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages, passes
from nets import Network

_IMAGES_AT_ONCE = 4096  # real images in one pass, of which nothing is kept


def mean_gaps(real: Tensor, synthetic: Tensor) -> Tensor:
    """Return ‖mean − mean‖² of k classes, [k]: real mean embeddings [k, d], synthetic embeddings [k, m, d]."""
    return (real - synthetic.mean(dim=1)).square().sum(dim=1)


class DistributionMatching:
    """Matches, class by class, the mean embeddings of a real and of the synthetic batch."""

    def __init__(self, config: CondensationConfig, images: RealImages) -> None:
        self.config, self.images = config, images

    def step(self, network: Network, pixels: Tensor, streams: RandomStreams) -> tuple[Tensor, Terms]:
        """Return the gradient with respect to ``pixels`` [m, C, H, W], and the objective's terms."""
        network.requires_grad_(False)
        gradients, terms = [], []
        for pair in pairs(self.config, self.images, pixels, streams):
            groups = [pair.real[group] for group in passes(pair.real, _IMAGES_AT_ONCE)]
            embedded = [network.embed(torch.cat(group)).unflatten(0, (len(group), -1)) for group in groups]
            means = torch.cat([z.mean(dim=1) for z in embedded])  # [k, d]
            ours = network.embed(pair.synthetic).unflatten(0, (len(pair.classes), -1))  # [k, ipc, d]
            loss = mean_gaps(means, ours).sum()
            gradients.append(torch.autograd.grad(loss, pair.pixels)[0])
            terms.append(Terms(loss.detach(), *torch.zeros(2, device=loss.device)))
        return torch.cat(gradients), Terms.total(terms)
