"""The base class of selection methods: options, a declaration of what the method needs, and a way to pick.

Adding a method is one file with a frozen dataclass derived from ``Method`` and one line in methods/__init__.py.
Its options are the dataclass's fields; one with a ``flag`` (utils/flags.py) is an option of the command line too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from methods.features import AnyFeatures, Features, parts_of
from methods.greedy.class_threads import pick_in_threads
from methods.split import UNSPLIT, Split
from methods.tie_breaking import ranking
from utils.data.coreset import Coreset
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError


class Need(Enum):
    """What a method needs beside labels; a run computes it, and errors name it."""

    EMBEDDINGS = "embeddings"
    LOGITS = "logits"
    TRACE = "a training trace (what the proxy's training said of each sample)"
    REPEATS = "the gradient norms of several independently trained networks"
    DIFFICULTY = "scores of how hard each sample is"
    PIXELS = "pixels and a network (adversarial perturbations)"
    PRETRAINED = "the embeddings of an ImageNet network"


FEATURES = (Need.EMBEDDINGS, Need.LOGITS)  # what a network says of the samples


def described(needs: Collection[Need]) -> str:
    """Return the needs in words, in the order in which ``Need`` names them."""
    return " and ".join(need.value for need in Need if need in needs)


_COPIES, _BESIDE = 5, 64  # of a sample's features (one of a class that waits), and float64 values beside them

RANKING = frozenset(
    {Need.TRACE, Need.REPEATS, Need.PIXELS, Need.DIFFICULTY}
)  # what scores from a file can stand in for


@dataclass(frozen=True, eq=False)
class SelectionInputs:
    """What a method is given of the n samples to select from, and of validation samples where there are any.

    Attributes:
        labels: int64 [n].
        features: of the n samples, held or not, with the parts of them that the method needs, or None where it needs
            none.
        validation: of held-out samples (--val), or None.
        scores: float [n], computed from a training trace, repeats or pixels as the method defines them, or None.
        pretrained: floating [n, d], embeddings by an ImageNet network, or None.
        difficulty: float [n], how hard each sample is, higher for harder ones, or None.
    """

    labels: Tensor
    features: AnyFeatures | None = None
    validation: Features | None = None
    scores: Tensor | None = None
    pretrained: Tensor | None = None
    difficulty: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor, label: int | None = None) -> SelectionInputs:
        """Return the inputs of the samples at ``indices`` (int64 [m]), with validation samples of ``label``, or all."""
        held_out = self.validation
        if held_out is not None and label is not None:
            held_out = held_out.subset((held_out.labels == label).nonzero()[:, 0])
        return SelectionInputs(
            self.labels[indices],
            None if self.features is None else self.features.subset(indices),
            held_out,
            None if self.scores is None else self.scores[indices],
            None if self.pretrained is None else self.pretrained[indices],
            None if self.difficulty is None else self.difficulty[indices],
        )


@dataclass(frozen=True)
class PickSettings:
    """What a pick depends on beside its inputs.

    Attributes:
        seed: of the method's random choices.
        device: where to compute.
        memory_budget: bytes the pick may take beyond its inputs; None: half of what is free.
        partitions: how samples are split into parts that facility location picks from first (methods/partitions.py).
        world: the ranks that share out these parts; all are to pick from the same inputs.
    """

    seed: int
    device: torch.device
    memory_budget: int | None = None
    partitions: Split = UNSPLIT
    world: World = SINGLE_PROCESS

    def with_seed(self, seed: int) -> PickSettings:
        """Return these settings with another seed."""
        return replace(self, seed=seed)


class Method(ABC):
    """A selection method; its dataclass fields are its options.

    Attributes:
        source: the paper, or where the method is from.
        need: what it needs beside labels where its options say nothing else (``needs``).
        scoring: the point at which it looks at the loss unless told otherwise, a name of methods/scoring.py.
        takes_validation: whether it uses held-out samples where there are some.
        whole: whether it keeps every sample, so that neither fraction nor balance applies.
        acts_with: options that act only where another option has a certain value, {option: (other, value)}.
        revision: counts up, from None, where the same options give other picks than before, so that runs from
            before keep their names and are not taken for new ones.
    """

    source: ClassVar[str]
    need: ClassVar[tuple[Need, ...]] = FEATURES
    scoring: ClassVar[str] = "evaluation"
    takes_validation: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    acts_with: ClassVar[Mapping[str, tuple[str, str | bool]]] = {}
    revision: ClassVar[int | None] = None

    @property
    def needs(self) -> tuple[Need, ...]:
        """Return all that the method needs with the options it has."""
        return self.need

    @property
    def looks_at_features(self) -> bool:
        """Return whether the method needs embeddings, logits, or both."""
        return not set(FEATURES).isdisjoint(self.needs)

    def missing(self, inputs: SelectionInputs) -> set[Need]:
        """Return which of embeddings and logits the method needs and ``inputs`` lack."""
        given = () if inputs.features is None else parts_of(inputs.features)
        return {need for need in FEATURES if need in self.needs and need.value not in given}

    @property
    def canonical(self) -> str | None:
        """Return the name of the other method that this one equals with the options it has, or None."""
        return None

    @property
    def takes_partitions(self) -> bool:
        """Return whether it can pick from parts, then from what these picked (methods/partitions.py)."""
        return False

    @property
    def nested(self) -> bool:
        """Return whether the first k picks of a larger selection are the selection of size k."""
        return True

    def least_memory(self, inputs: SelectionInputs, n: int, budget: int) -> int:
        """Return about how many bytes a pick from ``n`` samples may take however small the memory budget is."""
        given = [inputs.pretrained, *((inputs.features.embeddings, inputs.features.logits) if inputs.features else ())]
        widths = sum(each.shape[1] for each in given if each is not None)
        return 8 * n * (_COPIES * widths + _BESIDE)

    @abstractmethod
    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Return ``budget`` of the ``len(inputs)`` samples, numbered from 0, in the order picked."""

    def pick_sizes(self, inputs: SelectionInputs, budgets: Sequence[int], settings: PickSettings) -> list[Coreset]:
        """Return a pick of each of ``budgets``; override it where one pursuit serves picks that are not ``nested``."""
        if not self.nested:
            return [self.pick(inputs, budget, settings) for budget in budgets]
        largest = self.pick(inputs, max(budgets), settings)
        return [largest.at(np.arange(budget)) for budget in budgets]

    def pick_classes(
        self, classes: Iterable[SelectionInputs], budgets: Sequence[Sequence[int]], settings: Sequence[PickSettings]
    ) -> list[list[Coreset]]:
        """Return the picks of each class, in the order of the classes; on a CPU several are picked from side by side.

        Args:
            classes: inputs of each class; an iterator may make them one by one.
            budgets: how many to pick from each, once or several times.
            settings: of each pick.
        """
        if settings and settings[0].device.type == "cpu":
            return pick_in_threads(self, classes, budgets, settings)
        return [self.pick_sizes(*each) for each in zip(classes, budgets, settings, strict=True)]

    def features_of(self, inputs: SelectionInputs) -> Features:
        """Return the features in memory, or raise a UserError that says which part of them is missing."""
        missing = self.missing(inputs)
        if inputs.features is None or missing:
            raise UserError(f"{type(self).__name__} needs {described(missing)}; none were given")
        return inputs.features.read()

    def scores_of(self, inputs: SelectionInputs) -> Tensor:
        """Return the scores, or raise a UserError that says what is missing."""
        return self._given(inputs.scores, self.need[0])

    def difficulty_of(self, inputs: SelectionInputs) -> Tensor:
        """Return how hard each sample is, float [n], or raise a UserError that says what is missing."""
        return self._given(inputs.difficulty, Need.DIFFICULTY)

    def _given(self, scores: Tensor | None, need: Need) -> Tensor:
        if scores is None:
            raise UserError(
                f"{type(self).__name__} needs {need.value}, which a library call cannot compute: "
                f"run main.py --selection {type(self).__name__}, or pass scores="
            )
        return scores


def highest(scores: Tensor, budget: int) -> Coreset:
    """Pick the ``budget`` highest of ``scores`` [n], of those equal to rounding the lowest index first."""
    order = ranking(scores.double())[:budget]
    return Coreset(order.cpu().numpy(), gains=scores.double()[order].cpu().numpy())
