"""Gradient matching: DC (Zhao et al., 2021), DSA (Zhao and Bilen, 2021), and LCMat-C on top of either."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from condensation.class_gradients import (
    IMAGES_AT_ONCE,
    ClassGradients,
    real_class_gradients,
    synthetic_class_gradients,
)
from condensation.class_pairs import Pair, pairs
from condensation.config import CondensationConfig
from condensation.curvature import CURVATURES
from condensation.objective import DISTANCES, Objective, Terms, balanced, shares
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages
from nets import Network
from utils.device import lacks_memory
from utils.errors import UserError


class GradientMatching:
    """Matches, class by class, the gradients of a real and of the synthetic batch, and their curvatures."""

    def __init__(self, config: CondensationConfig, images: RealImages) -> None:
        self.config, self.images = config, images
        self.at_once = IMAGES_AT_ONCE
        self.curvature = CURVATURES[config.curvature] if config.curvature and config.curvature_acts else None
        self.objective = Objective(
            DISTANCES[config.distance or "layerwise"], config.rho or 0.0, config.curvature_scale or "none"
        )

    def step(self, network: Network, pixels: Tensor, streams: RandomStreams) -> tuple[Tensor, Terms]:
        """Return the gradient with respect to ``pixels`` [m, C, H, W], and the objective's terms.

        Raises:
            UserError: the network has a layer without a second derivative.
        """
        gradients, terms = [], []
        for pair in pairs(self.config, self.images, pixels, streams):
            target = self._target(network, pair)
            ours = synthetic_class_gradients(network, pair.synthetic, pair.classes, self.curvature)
            matching, gap = self.objective(target, ours)
            gradient, shares = self._gradient(matching, gap, pair)
            gradients.append(gradient)
            terms.append(Terms(matching.detach().sum(), gap.detach().sum(), shares.sum()))
        return torch.cat(gradients), Terms.total(terms)

    def _target(self, network: Network, pair: Pair) -> ClassGradients:
        """Return the gradients of the real images; where memory lacks, half as many go together from then on."""
        while True:
            try:
                return real_class_gradients(network, pair.real, pair.classes, self.curvature, self.at_once)
            except RuntimeError as error:
                if not lacks_memory(error) or self.at_once <= len(pair.real[0]):
                    raise
            self.at_once //= 2
            print(f"note: too little memory; trying {self.at_once} real images at once", file=sys.stderr, flush=True)

    def _gradient(self, matching: Tensor, gap: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return the gradient of the pixels [k·ipc, C, H, W], and the curvature term's share for each class, [k]."""
        if self.curvature is None:
            return self._backward(matching, pair.pixels), torch.zeros_like(gap)
        k, rho = len(pair.classes), self.objective.rho
        m = self._backward(matching, pair.pixels, keep=True).unflatten(0, (k, -1))  # [k, ipc, C, H, W]
        c = rho / 2 * self._backward(gap, pair.pixels).unflatten(0, (k, -1))
        if self.objective.scale == "matching":
            c = balanced(m, c, rho)
        return (m + c).flatten(0, 1), shares(m, c)

    def _backward(self, loss: Tensor, pixels: Tensor, keep: bool = False) -> Tensor:
        try:
            return torch.autograd.grad(loss.sum(), pixels, retain_graph=keep)[0]
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            raise UserError(
                f"{self.config.model} cannot be differentiated twice ({error}); "
                "match gradients with another --model, such as ConvNet, or use --method DM"
            ) from error
