"""Selection methods by name, and ``select_coreset``, the library call that serves them all."""

from __future__ import annotations

import utils  # noqa: F401  # before torch: see there

# isort: split
import dataclasses
import math
from numbers import Integral, Real
from typing import Any

from methods.adacore import AdaCore
from methods.aum import AUM
from methods.base import Method, SelectionInputs, described
from methods.budgets import budgets_for
from methods.cal import Cal
from methods.ccs import CCS
from methods.confidence import Confidence
from methods.contextualdiversity import ContextualDiversity
from methods.craig import Craig
from methods.d2 import D2
from methods.deepfool import DeepFool
from methods.dynunc import DynUnc
from methods.el2n import EL2N
from methods.features import Features, check_alike, features_of
from methods.forgetting import Forgetting
from methods.full import Full
from methods.glister import Glister
from methods.gradmatch import GradMatch
from methods.grand import GraNd
from methods.herding import Herding
from methods.kcentergreedy import KCenterGreedy
from methods.lcmat import LCMat
from methods.lcmatgc import LCMatGC
from methods.loss import Loss
from methods.moderate import Moderate
from methods.prototypicality import Prototypicality
from methods.prune import Prune
from methods.score_method import ScoreMethod
from methods.scoring import at_temperature, auto_temperature
from methods.select import select
from methods.split import Split
from methods.submodular import Submodular
from methods.uncertainty import Uncertainty
from methods.uniform import Uniform
from utils.arrays import as_labels, as_scores
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.errors import UserError, choose
from utils.torch_defaults import usual_defaults

__all__ = ["METHODS", "SCORES", "Coreset", "make_method", "select_coreset"]

METHODS: dict[str, type[Method]] = {
    "Uniform": Uniform,
    "Full": Full,
    "LCMat": LCMat,
    "LCMatGC": LCMatGC,
    "Submodular": Submodular,
    "AdaCore": AdaCore,
    "Craig": Craig,
    "GradMatch": GradMatch,
    "Glister": Glister,
    "Herding": Herding,
    "kCenterGreedy": KCenterGreedy,
    "ContextualDiversity": ContextualDiversity,
    "Moderate": Moderate,
    "D2": D2,
    "Prototypicality": Prototypicality,
    "Cal": Cal,
    "Uncertainty": Uncertainty,
    "Forgetting": Forgetting,
    "CCS": CCS,
    "EL2N": EL2N,
    "AUM": AUM,
    "Loss": Loss,
    "Confidence": Confidence,
    "DynUnc": DynUnc,
    "GraNd": GraNd,
    "DeepFool": DeepFool,
}

SCORES: dict[str, type[ScoreMethod]] = {  # that say how hard a sample is
    name: method for name, method in METHODS.items() if issubclass(method, ScoreMethod)
}

_KINDS: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    str: (str, "a name"),
}


def make_method(name: str, **options: Any) -> Method:
    """Return the method ``name`` with its options.

    Raises:
        UserError: an unknown method or option, or a value that an option cannot take.
    """
    name = choose("method", str(name), METHODS)
    defaults = {field.name: field.default for field in dataclasses.fields(METHODS[name])}  # type: ignore[arg-type]
    for option, value in options.items():
        if option not in defaults:
            takes = f"it takes {', '.join(defaults)}" if defaults else "it takes none"
            raise UserError(f"{name} has no option {option!r}; {takes}")
        kind, expected = _KINDS[type(defaults[option])]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{option} of {name} is {expected}, not {value!r}")
    return METHODS[name](**options)


def revision_of(method: str, score: str | None) -> int | None:
    """Return the revision of a method together with that of the score that it selects, or is pruned, by, if any.

    Args:
        method: a name of ``METHODS``.
        score: a name of ``SCORES``, or None.
    """
    return sum(METHODS[each].revision or 0 for each in (method, score) if each is not None) or None


def check_features(method: Method, inputs: SelectionInputs) -> None:
    """Raise UserError where ``method`` needs embeddings or logits that ``inputs`` lack; it names what does without."""
    missing = method.missing(inputs)
    if not missing:
        return
    others = [name for name, each in METHODS.items() if each().looks_at_features and missing.isdisjoint(each().needs)]
    without = f"; {', '.join(others)} do without" if others else ""
    raise UserError(f"{type(method).__name__} needs {described(missing)}; none were given{without}")


@usual_defaults()
def select_coreset(
    method: str,
    *,
    labels: Any,
    embeddings: Any = None,
    logits: Any = None,
    fraction: float | None = None,
    budget: int | None = None,
    ipc: int | None = None,
    at_least_one: bool = False,
    balance: bool = True,
    seed: int = 0,
    memory_budget: int | None = None,
    validation: tuple[Any, Any, Any] | None = None,
    scores: Any = None,
    prune: str | None = None,
    partitions: int | str = 1,
    temperature: float | str = 1.0,
    **options: Any,
) -> Coreset:
    """Select a part of the samples by ``method``, from features alone.

    Args:
        method: a name of ``METHODS``, in any case.
        labels: integers [n], tensor or array.
        embeddings: floating [n, d], the input of the network's last linear layer. The computation runs in their
            dtype (half precision in float32) and on their device. A memory-mapped array (np.load with mmap_mode="r") is
            never read whole: classes are one at a time, and parts too (``partitions``). None for a
            method that needs none.
        logits: floating [n, C]; None for a method that needs none.
        fraction: the part to keep, in (0, 1], round(fraction · n) samples.
        budget: instead of it, how many to keep in all.
        ipc: instead of it, how many to keep of each class.
        at_least_one: keep one of each class whose share of fraction or budget rounds to none.
        balance: select class by class, each class in proportion to its size; otherwise from all samples at once.
        seed: of the method's random choices.
        memory_budget: bytes the selection may take beyond its inputs; None: half of what is free. Where the method may
            take more, because it copies the features in float64, a note on stderr says how much.
        validation: (embeddings, logits, labels) of held-out samples, for methods that take them.
        scores: floating [n], for methods that rank by what only a training can tell: those of Forgetting, AUM, GraNd, …
            as they are defined. CCS, D2 and ``prune`` take any scores, higher for harder samples.
        prune: ``hardest:0.2`` or ``easiest:0.2``: leave that share out first, by ``scores``.
        partitions: for facility location (LCMat, Craig, AdaCore, …) over more samples than can be compared in pairs:
            into how many parts at random each class is split for a first round of picks; ``near:P`` splits into P
            parts of samples near each other, ``auto`` into parts of about 5,000 of these, from 20,000 samples on.
            ``coreset.partitioned`` says what that came to.
        temperature: divides the logits, or ``auto``, which main.py takes for LCMat: the point at which the loss is
            looked at (methods/scoring.py). A proxy that is sure of most samples misleads at 1.
        **options: the method's own, named like its flags: eps, num_dims, greedy, submodular, kernel, …

    Returns:
        The coreset, its indices in the order picked, class after class.

    Raises:
        UserError (a ValueError): an unknown method or option, mismatched lengths, NaN or infinite values, a
            size that is out of range or leaves a class empty, or something missing that the method needs.
    """
    _check_rest(balance, seed, memory_budget, validation)
    chosen = make_method(method, **options)
    size = CoresetSize.of(fraction=fraction, budget=budget, ipc=ipc, at_least_one=at_least_one)
    inputs = _inputs(chosen, labels, embeddings, logits, validation, scores, temperature)
    check_features(chosen, inputs)
    pruned = None if prune is None else _prune(prune)
    budgets = budgets_for(inputs.labels, size, balance, prune=pruned)
    split = _partitions(chosen, partitions)
    return select(chosen, inputs, budgets, seed=seed, memory_budget=memory_budget, prune=pruned, partitions=split)


def _inputs(
    method: Method,
    labels: Any,
    embeddings: Any,
    logits: Any,
    validation: tuple[Any, Any, Any] | None,
    scores: Any,
    temperature: float | str,
) -> SelectionInputs:
    """Return what the caller gave, validated, on the features' device; see ``select_coreset``."""
    features = None if embeddings is None and logits is None else features_of(embeddings, logits, labels)
    held_out = None if validation is None else Features.of(*validation)
    if features is not None and held_out is not None:
        check_alike(features, held_out)
        held_out = held_out.to(features.labels.device)
    if features is not None:
        at = auto_temperature(features) if temperature == "auto" else _number("temperature", temperature)
        features = at_temperature(features, at)
        held_out = None if held_out is None else at_temperature(held_out, at).read()
    y = as_labels(labels) if features is None else features.labels
    ranked_by = None if scores is None else as_scores(scores, len(y)).to(y.device)
    difficulty = (
        method.difficulty(ranked_by) if isinstance(method, ScoreMethod) and ranked_by is not None else ranked_by
    )
    return SelectionInputs(y, features, held_out, ranked_by, difficulty=difficulty)


def _prune(text: Any) -> Prune:
    """Return what prunes. Raises UserError where it is none."""
    try:
        return Prune.read(str(text))
    except UserError as error:
        raise UserError(f"prune: {error}") from error


def _partitions(method: Method, partitions: Any) -> Split:
    """Return how classes are split. Raises UserError where that is no way to, or not for ``method``."""
    try:
        split = Split.read(str(partitions))
    except UserError as error:
        raise UserError(f"partitions {error}") from error
    if split.parts not in (1, None) and not method.takes_partitions:
        raise UserError(
            f"{type(method).__name__} takes no partitions; facility location does: LCMat, Craig, AdaCore, and "
            "Submodular with submodular='FacilityLocation'"
        )
    return split


def _number(name: str, value: Any) -> float:
    """Return a number as float. Raises UserError where it is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise UserError(f"{name} is a number or auto, not {value!r}")
    return float(value)


def _check_rest(balance: Any, seed: Any, memory_budget: Any, validation: Any) -> None:
    """Raise UserError where one of these is of the wrong kind."""
    if balance not in (True, False):
        raise UserError(f"balance is True or False, not {balance!r}")
    if not isinstance(seed, Integral) or seed < 0:
        raise UserError(f"seed is a whole number from 0, not {seed!r}")
    if memory_budget is not None and not (isinstance(memory_budget, Real) and 0 <= float(memory_budget) < math.inf):
        raise UserError(f"memory_budget is a number of bytes or None, not {memory_budget!r}")
    if validation is not None and not (isinstance(validation, (tuple, list)) and len(validation) == 3):
        raise UserError("validation is (embeddings, logits, labels) of held-out samples")
