"""Greedy maximisation of a set function over distances between per-sample gradients: kernel × function × greedy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from methods.base import Method, PickSettings, SelectionInputs
from methods.features import Features
from methods.greedy.class_batches import BATCHED, batched_greedy
from methods.greedy.clusters import beginnings, cluster_sizes
from methods.greedy.distances import AdaCoreDistance, CosineDistance, CurvatureDistance, Distance, GradientDistance
from methods.greedy.optimizers import GREEDIES, exact_greedy, greedy_flag
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.greedy.set_functions import SET_FUNCTIONS, FacilityLocation, SetFunction
from methods.partitions import pick_in_parts
from nets.last_layer import largest_coordinates
from utils.data.coreset import Coreset
from utils.errors import UserError, choose
from utils.flags import OneOf, flag, integer, number, switch

_SAMPLES = 50_000  # that the coordinates of a larger whole are found over
_EXACT_GREEDIES = ("NaiveGreedy", "LazyGreedy")  # the same picks, so passes that never wait can stand for either


@dataclass(frozen=True)
class SetFunctionMethod(Method):
    """A method that maximises a set function of a distance between samples.

    Attributes:
        greedy: NaiveGreedy, LazyGreedy, StochasticGreedy or ApproximateLazyGreedy.
        weighted: weigh each pick by its cluster, the number of samples that it is the nearest pick to.
    """

    greedy: str = greedy_flag()
    weighted: bool = switch("--weighted", "set functions: weigh each picked image by the number that it stands for")

    def __post_init__(self) -> None:
        object.__setattr__(self, "greedy", choose("greedy", self.greedy, GREEDIES))

    @property
    def nested(self) -> bool:
        """Return whether the greedy ranks the samples, and picks carry no weights."""
        return self.greedy != "StochasticGreedy" and not self.weighted

    @property
    def set_function(self) -> type[SetFunction]:
        """Return the class of the set function to maximise."""
        return FacilityLocation

    @property
    def takes_partitions(self) -> bool:
        """Return whether it maximises facility location."""
        return self.set_function is FacilityLocation

    def compared(self, inputs: SelectionInputs) -> SelectionInputs:
        """Return the inputs, with what makes distances within a part of them the same as within all."""
        return inputs

    @abstractmethod
    def distance(self, features: Features) -> Distance:
        """Return the distance D between samples; their similarity is an offset less D."""

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick greedily from the pairwise matrix of the samples' distances."""
        matrix, picks = self._pick(inputs, budget, settings)
        return beginnings(picks, [budget], cluster_sizes(matrix, picks, [budget]))[0] if self.weighted else picks

    def pick_sizes(self, inputs: SelectionInputs, budgets: Sequence[int], settings: PickSettings) -> list[Coreset]:
        """Return a pick of each of ``budgets``; weighted ones too from one selection, where the greedy ranks."""
        parts = settings.partitions.number(len(inputs)) if self.takes_partitions else 1
        if parts > 1:
            return pick_in_parts(self, inputs, budgets, settings, parts)
        if not self.weighted or self.greedy == "StochasticGreedy":
            return super().pick_sizes(inputs, budgets, settings)
        matrix, largest = self._pick(inputs, max(budgets), settings)
        return beginnings(largest, budgets, cluster_sizes(matrix, largest, budgets))

    def _pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> tuple[PairwiseMatrix, Coreset]:
        matrix = PairwiseMatrix(self.distance(self.features_of(inputs)), settings.memory_budget)
        either = settings.device.type != "cpu" and self.greedy in _EXACT_GREEDIES
        greedy = exact_greedy if either else GREEDIES[self.greedy]
        return matrix, greedy(self.set_function(matrix), budget, settings.seed)

    def pick_classes(
        self, classes: Iterable[SelectionInputs], budgets: Sequence[Sequence[int]], settings: Sequence[PickSettings]
    ) -> list[list[Coreset]]:
        """Pick from each class; on an accelerator in batches of classes where the greedy is exact."""
        if not settings or settings[0].device.type == "cpu":
            return super().pick_classes(classes, budgets, settings)
        device, room = settings[0].device, settings[0].memory_budget
        exact = self.set_function in BATCHED and self.greedy in _EXACT_GREEDIES
        if not exact or settings[0].partitions.parts != 1:
            return super().pick_classes(classes, budgets, settings)
        distances = (self.distance(self.features_of(each)) for each in classes)
        return batched_greedy(distances, budgets, device, room, self.weighted, self.set_function)


@dataclass(frozen=True)
class CurvatureMethod(SetFunctionMethod):
    """A set function method with the options of LCMat's distance between gradients and curvatures.

    Attributes:
        eps: weight of the curvature term, ρ/2.
        num_dims: the K coordinates of the Hessian diagonal with the largest variance in the class.
    """

    eps: float = flag(0.05, "--eps", number("[0, inf)"), "LCMat: weight of the curvature term, half the radius", "E")
    num_dims: int = flag(100, "--K", integer(1), "LCMat: coordinates of the Hessian diagonal compared, per class", "N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eps < float("inf"):
            raise UserError(f"eps is a finite number of at least 0, not {self.eps}")
        if self.num_dims < 1:
            raise UserError(f"num_dims (--K) is at least 1, not {self.num_dims}")

    def compared(self, inputs: SelectionInputs) -> SelectionInputs:
        """Return the inputs with the coordinates of largest variance over them, of many over 50,000 evenly spaced."""
        some = torch.arange(0, len(inputs), -(-len(inputs) // _SAMPLES), device=inputs.labels.device)
        if inputs.features is None:
            return inputs
        seen = inputs.features.subset(some).read()
        coordinates = largest_coordinates(seen.embeddings, seen.logits, self.num_dims)
        return replace(inputs, features=replace(inputs.features, coordinates=coordinates))

    def least_memory(self, inputs: SelectionInputs, n: int, budget: int) -> int:
        """Return the bytes of copies of the features, and of the coordinates of the Hessian diagonal."""
        return super().least_memory(inputs, n, budget) + 8 * n * 4 * self.num_dims


KERNELS: dict[str, Callable[[Features, Submodular], Distance]] = {
    "cosine": lambda features, _: CosineDistance(features),
    "worst": lambda features, options: CurvatureDistance(features, options.eps, options.num_dims),
    "adacore": lambda features, _: AdaCoreDistance(features),
    "grad_l2": lambda features, _: GradientDistance(features),
}


_NAMED = {  # combinations that are methods of their own
    ("FacilityLocation", "worst"): "LCMat",
    ("FacilityLocation", "adacore"): "AdaCore",
    ("GraphCut", "worst"): "LCMatGC",
}


@dataclass(frozen=True)
class Submodular(CurvatureMethod):
    """Maximise any set function over any kernel by any greedy optimiser.

    Kernels of g_i, the per-sample last-layer gradients: ``cosine`` ½ + ½cos(g_i, g_j); ``worst`` c − D_ij with
    LCMat's D; ``grad_l2`` max d − d with d = ‖g_i − g_j‖₂; ``adacore`` the same of preconditioned gradients.

    Attributes:
        submodular: FacilityLocation, GraphCut or LogDeterminant.
        kernel: cosine, worst, adacore or grad_l2; the options of LCMat's distance are for ``worst``.
    """

    source = "Iyer et al. 2021, Submodular combinatorial information measures; kernels as named"
    acts_with = dict.fromkeys(("eps", "num_dims"), ("kernel", "worst"))

    submodular: str = flag(
        "GraphCut", "--submodular", OneOf("submodular", SET_FUNCTIONS), "Submodular: the set function: {names}"
    )
    kernel: str = flag(
        "cosine",
        "--kernel",
        OneOf("kernel", KERNELS),
        "Submodular: how alike two images are: {names}; worst with FacilityLocation is LCMat, with GraphCut LCMatGC",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "submodular", choose("submodular function", self.submodular, SET_FUNCTIONS))
        object.__setattr__(self, "kernel", choose("kernel", self.kernel, KERNELS))

    def least_memory(self, inputs: SelectionInputs, n: int, budget: int) -> int:
        """Return the bytes of what LCMat's distance takes, and of the factor that LogDeterminant lets grow."""
        factor = 8 * n * 4 * budget if self.submodular == "LogDeterminant" else 0
        return super().least_memory(inputs, n, budget) + factor

    @property
    def canonical(self) -> str | None:
        """Return the method that this combination is, where it has a name of its own."""
        return _NAMED.get((self.submodular, self.kernel))

    @property
    def set_function(self) -> type[SetFunction]:
        """Return the set function named by ``submodular``."""
        return SET_FUNCTIONS[self.submodular]

    def distance(self, features: Features) -> Distance:
        """Return the distance behind the kernel."""
        return KERNELS[self.kernel](features, self)
