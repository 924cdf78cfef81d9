"""What the command line may name, told by the entry scripts because utils does not import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from utils.errors import choose

# An option of a method, as select_coreset's keyword → the flag that sets it.
OPTION_FLAGS: Mapping[str, str] = {
    "eps": "eps",
    "num_dims": "K",
    "weighted": "weighted",
    "greedy": "submodular_greedy",
    "submodular": "submodular",
    "kernel": "kernel",
    "uncertainty": "uncertainty",
    "pretrained": "pretrained",
    "eta": "lr",
}


@dataclass(frozen=True)
class Spelling:
    """Another way to ask for ``method``: the method that holds this one, with these options."""

    options: tuple[tuple[str, str], ...]
    method: str


@dataclass(frozen=True)
class Condition:
    """``option`` acts only where the option ``when`` has one of ``values``."""

    option: str
    when: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class MethodInfo:
    """A selection method as the command line sees it.

    Attributes:
        options: keywords of select_coreset that it takes; those without a flag are left to their defaults.
        needs_proxy: it looks through a trained network.
        proxy_unless: a yes/no option that, when on, takes the proxy's place.
        whole: it keeps every image, so that neither a fraction nor a balance applies.
        conditions: options that act only beside certain values of another.
        canonical: combinations of its options that are another method under that method's own name.
    """

    name: str
    options: tuple[str, ...] = ()
    needs_proxy: bool = True
    proxy_unless: str | None = None
    whole: bool = False
    conditions: tuple[Condition, ...] = ()
    canonical: tuple[Spelling, ...] = ()


@dataclass(frozen=True)
class Choices:
    """The names that one entry script allows; ``cross`` is its default for ``--cross``."""

    networks: tuple[str, ...]
    methods: tuple[MethodInfo, ...]
    datasets: tuple[str, ...]
    cross: tuple[str, ...] = ()
    submodulars: tuple[str, ...] = ("FacilityLocation", "GraphCut", "LogDeterminant")
    greedies: tuple[str, ...] = ("NaiveGreedy", "LazyGreedy", "StochasticGreedy", "ApproximateLazyGreedy")
    kernels: tuple[str, ...] = ("cosine", "worst", "adacore", "grad_l2")
    uncertainties: tuple[str, ...] = ("LeastConfidence", "Entropy", "Margin")

    def method(self, name: str) -> MethodInfo:
        """The method of that name, in any case.

        Raises:
            UserError: no such method.
        """
        by_name = {method.name: method for method in self.methods}
        return by_name[choose("selection", name, by_name)]
