"""LCMat-S: a coreset that matches the gradient and the curvature of the full set's loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from methods.base import PickSettings, SelectionInputs
from methods.features import Features
from methods.greedy.distances import CurvatureDistance, Distance
from methods.released import released_picks
from methods.submodular import CurvatureMethod
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.flags import switch


@dataclass(frozen=True)
class LCMat(CurvatureMethod):
    """Minimise F(S) = Σ_i min_{j∈S} D_ij, D_ij = ‖g_i − g_j‖₂ + eps · Σ_{k∈K} |h_ik − h_jk|, greedily.

    Facility location over c − D reaches 1 − 1/e of the best; the picks do not depend on c ≥ max D.

    Attributes:
        released: pick as the authors' released code does (methods/released.py), whatever ``greedy`` says.
    """

    source = "Shin et al., Loss-Curvature Matching for Dataset Selection and Condensation, AISTATS 2023"
    scoring = "temperature"
    acts_with: ClassVar[Mapping[str, tuple[str, str | bool]]] = {"released": ("released", True)}

    released: bool = switch("--released", "LCMat: the picks of the authors' released code, for comparison")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.released and self.weighted:
            raise UserError("released picks have no weights: leave --weighted out")

    @property
    def nested(self) -> bool:
        """Whether picks come in their order: the released code's come sorted."""
        return super().nested and not self.released

    @property
    def takes_partitions(self) -> bool:
        """Return whether picks are greedy: the released code knows no parts."""
        return super().takes_partitions and not self.released

    def distance(self, features: Features) -> Distance:
        """Return the distances between gradients and curvatures."""
        return CurvatureDistance(features, self.eps, self.num_dims)

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick greedily, or as the released code does."""
        if self.released:
            return released_picks(self.features_of(inputs), self.eps, self.num_dims, budget)
        return super().pick(inputs, budget, settings)

    def pick_classes(
        self, classes: Iterable[SelectionInputs], budgets: Sequence[Sequence[int]], settings: Sequence[PickSettings]
    ) -> list[list[Coreset]]:
        """Pick from each class: the released picks one class after another, others as facility location is."""
        if self.released:
            return [self.pick_sizes(*each) for each in zip(classes, budgets, settings, strict=True)]
        return super().pick_classes(classes, budgets, settings)
