"""The methods as the command line sees them: their options, and which of them a proxy is trained for."""

from __future__ import annotations

from experiments.arguments import Condition, MethodInfo, Spelling
from methods import METHODS, option_names
from methods.base import Need

_CONDITIONS = {"Submodular": tuple(Condition(option, "kernel", ("worst",)) for option in ("eps", "num_dims"))}
_CANONICAL = {
    "Submodular": (
        Spelling((("submodular", "FacilityLocation"), ("kernel", "worst")), "LCMat"),
        Spelling((("submodular", "FacilityLocation"), ("kernel", "adacore")), "AdaCore"),
    )
}


def method_infos() -> tuple[MethodInfo, ...]:
    """One for every method of the table, in its order."""
    return tuple(
        MethodInfo(
            name,
            options=option_names(name),
            needs_proxy=method.need is not Need.NOTHING,
            proxy_unless="pretrained" if method.embeddings_only else None,
            whole=name == "Full",
            conditions=_CONDITIONS.get(name, ()),
            canonical=_CANONICAL.get(name, ()),
        )
        for name, method in METHODS.items()
    )
