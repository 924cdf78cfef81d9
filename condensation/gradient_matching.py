"""Gradient matching: DC (Zhao et al., 2021), DSA (Zhao and Bilen, 2021), and LCMat-C on top of either."""

from __future__ import annotations

import torch
from torch import Tensor

from condensation.class_gradients import real_class_gradients, synthetic_class_gradients
from condensation.class_pairs import pairs
from condensation.config import CondensationConfig
from condensation.curvature import CURVATURES
from condensation.objective import DISTANCES, Objective, Terms
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages
from nets import Network
from utils.errors import UserError


class GradientMatching:
    """Matches, class by class, the gradients of a real and of the synthetic batch, and their curvatures."""

    def __init__(self, config: CondensationConfig, images: RealImages) -> None:
        self.config, self.images = config, images
        self.curvature = CURVATURES[config.curvature] if config.curvature and config.curvature_acts else None
        self.objective = Objective(DISTANCES[config.distance or "layerwise"], config.rho or 0.0)

    def step(self, network: Network, pixels: Tensor, streams: RandomStreams) -> tuple[Tensor, Terms]:
        """Return the gradient with respect to ``pixels`` [m, C, H, W], and the objective's terms.

        Raises:
            UserError: the network has a layer without a second derivative.
        """
        gradients, terms = [], []
        for pair in pairs(self.config, self.images, pixels, streams):
            target = real_class_gradients(network, pair.real, pair.classes, self.curvature)
            ours = synthetic_class_gradients(network, pair.synthetic, pair.classes, self.curvature)
            loss, matching, curvature = self.objective(target, ours)
            gradients.append(self._gradient(loss.sum(), pair.pixels))
            terms.append(Terms(matching.detach().sum(), curvature.detach().sum()))
        return torch.cat(gradients), Terms.total(terms)

    def _gradient(self, loss: Tensor, pixels: Tensor) -> Tensor:
        try:
            return torch.autograd.grad(loss, pixels)[0]
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            raise UserError(
                f"{self.config.model} cannot be differentiated twice ({error}); "
                "match gradients with another --model, such as ConvNet, or use --method DM"
            ) from error
