"""Uncertainty sampling: the samples whose label the proxy is least sure of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs, highest
from methods.features import Features
from nets.last_layer import probabilities
from utils.data.coreset import Coreset
from utils.errors import choose
from utils.flags import OneOf, flag


def least_confidence(features: Features) -> Tensor:
    """Return 1 − max_c p_c, [n], as the sum of the others, which is exact to rounding where the largest is near one."""
    return probabilities(features.logits).sort(dim=1).values[:, :-1].sum(dim=1)


def entropy(features: Features) -> Tensor:
    """Return −Σ_c p_c log p_c, [n]."""
    logarithms = features.logits.double().log_softmax(dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1)


def margin(features: Features) -> Tensor:
    """Return 1 − (the largest p_c − the second largest), [n], exact to rounding in the same way."""
    second = probabilities(features.logits).sort(dim=1).values[:, -2:-1].sum(dim=1)  # 0 where there is one class
    return least_confidence(features) + second


UNCERTAINTIES: dict[str, Callable[[Features], Tensor]] = {
    "LeastConfidence": least_confidence,
    "Entropy": entropy,
    "Margin": margin,
}


@dataclass(frozen=True)
class Uncertainty(Method):
    """Pick the most uncertain samples first.

    LeastConfidence: the smallest max_c p_c. Entropy: the highest −Σ_c p_c log p_c. Margin: the smallest
    difference of the two largest p_c.

    Attributes:
        uncertainty: LeastConfidence, Entropy or Margin.
    """

    source = "Settles, Active Learning Literature Survey, 2009; Coleman et al., Selection via Proxy, ICLR 2020"
    need = (Need.LOGITS,)

    uncertainty: str = flag(
        "Entropy", "--uncertainty", OneOf("uncertainty", UNCERTAINTIES), "Uncertainty: what counts as unsure: {names}"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "uncertainty", choose("uncertainty", self.uncertainty, UNCERTAINTIES))

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the samples of highest uncertainty."""
        return highest(UNCERTAINTIES[self.uncertainty](self.features_of(inputs)), budget)
