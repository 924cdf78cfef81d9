"""Glister: the samples whose gradient steps lower the validation loss most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.base import Method, PickSettings, SelectionInputs
from methods.features import Features
from methods.greedy.optimizers import greedy_flag
from methods.tie_breaking import first_highest
from nets.last_layer import Gradients, augment, residuals
from utils.data.coreset import Coreset
from utils.errors import UserError, choose
from utils.flags import flag, number
from utils.seeding import derive_seed
from utils.threads import small_steps

_GREEDIES = ("NaiveGreedy", "LazyGreedy", "StochasticGreedy")
_DELTA = 0.1  # stochastic greedy's failure probability


@dataclass(frozen=True)
class Glister(Method):
    """Pick argmax_i ⟨g_i, v⟩, v the mean gradient of the validation loss at a last layer that follows the picks.

    The last layer is one step from the proxy's, −η times the mean of the picks' gradients, and v is taken there,
    exactly: logits f change by −η mean_j ⟨ẑ, ẑ_j⟩ (p_j − y_j). The g_i stay those at the proxy, as in the paper's
    Taylor approximation. Without validation samples (of the class, where the selection is balanced) the training
    samples take their place.

    Attributes:
        eta: the step η.
        greedy: NaiveGreedy; LazyGreedy, which makes the same picks in the same way here, since two matrix
            products give every gain anew; or StochasticGreedy, the best of a random n/k · ln 10 at each pick.
            Gains rise as well as fall, so an old one bounds nothing, and ApproximateLazyGreedy is refused.
    """

    source = "Killamsetty et al., GLISTER: Generalization based Data Subset Selection, AAAI 2021, algorithm 2"
    takes_validation = True
    revision = 2  # 1 took a step of its own for each pick, until nothing was left of the validation gradient

    eta: float = flag(0.1, "--eta", number("(0, inf)"), "Glister: the step along the picks' mean gradient", "LR")
    greedy: str = greedy_flag()

    def __post_init__(self) -> None:
        if not 0 < self.eta < math.inf:
            raise UserError(f"eta is a finite number above 0, not {self.eta}")
        object.__setattr__(self, "greedy", choose("greedy of Glister", self.greedy, _GREEDIES))

    @property
    def nested(self) -> bool:
        """Return whether the greedy is deterministic, and so ranks the samples."""
        return self.greedy != "StochasticGreedy"

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the sample whose gradient step lowers the validation loss most, again and again."""
        features, held_out = self.features_of(inputs), inputs.validation
        gradients = features.gradients()
        validation = ValidationLoss(held_out if held_out is not None and len(held_out) else features, self.eta)
        with small_steps(gradients.augmented.numel()):
            return self._pursue(gradients, validation, budget, settings.seed)

    def _pursue(self, gradients: Gradients, validation: ValidationLoss, budget: int, seed: int) -> Coreset:
        largest = gradients.squared_norms().max().sqrt()
        random = np.random.default_rng(derive_seed(seed, "stochastic greedy"))
        sample = math.ceil(len(gradients) / budget * math.log(1 / _DELTA))
        available = np.ones(len(gradients), dtype=bool)
        picked, gains = [], []
        for _ in range(budget):
            candidates = self._candidates(np.flatnonzero(available), sample, random)
            v = validation.gradient()  # [C, d + 1]
            current = gradients.inner(v)[candidates]
            best = first_highest(current, scale=v.norm() * largest)
            pick = int(candidates[best])
            picked.append(pick)
            gains.append(float(current[best]))
            available[pick] = False
            validation.step(gradients.residuals[pick], gradients.augmented[pick])
        return Coreset(np.array(picked, dtype=np.int64), gains=np.array(gains))

    def _candidates(self, left: np.ndarray, sample: int, random: np.random.Generator) -> np.ndarray:
        """Return the candidates for the next pick, in ascending order: all that are left, or a random part of them."""
        if self.greedy != "StochasticGreedy" or sample >= len(left):
            return left
        return np.sort(random.choice(left, size=sample, replace=False))


class ValidationLoss:
    """The mean cross-entropy of validation samples at a last layer moved by −η times the mean of some gradients.

    The layer itself is never built: a gradient changes the logits by a product of factors.
    """

    def __init__(self, features: Features, eta: float) -> None:
        self.labels, self.eta = features.labels, eta
        self.augmented = augment(features.embeddings)  # [m, d + 1]
        self.logits = features.logits.double()  # [m, C], at the proxy
        self.change, self.steps = torch.zeros_like(self.logits), 0  # of the logits, by the sum of the gradients

    def gradient(self) -> Tensor:
        """Return the gradient at the last layer's present parameters, [C, d + 1]."""
        moved = self.logits - self.eta / max(self.steps, 1) * self.change
        return Gradients(residuals(moved, self.labels), self.augmented).mean()

    def step(self, residual: Tensor, augmented: Tensor) -> None:
        """Take the gradient residual ⊗ augmented ([C] and [d + 1]) into the mean."""
        self.change += torch.outer(self.augmented @ augmented, residual)
        self.steps += 1
