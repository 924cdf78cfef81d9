"""What a selection method is: options, a declaration of what it needs, and a way to pick.

Adding a method is one file with a frozen dataclass derived from ``Method`` and one line in methods/__init__.py.
Its options are the dataclass's fields; one with a ``flag`` (utils/flags.py) is an option of the command line too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from methods.features import Features
from methods.tie_breaking import ranking
from utils.data.coreset import Coreset
from utils.errors import UserError


class Need(Enum):
    """What a method looks at beside labels; the pipeline gathers it, and errors name it."""

    NOTHING = "nothing"
    FEATURES = "embeddings and logits"
    FORGETTING = "a training trace (forgetting events of the proxy's training)"
    REPEATS = "the gradient norms of several independently trained networks"
    PIXELS = "pixels and a network (adversarial perturbations)"
    PRETRAINED = "the embeddings of an ImageNet network"


@dataclass(frozen=True, eq=False)
class SelectionInputs:
    """What is known of the n samples to select from, and of the validation samples where there are any.

    Attributes:
        labels: int64 [n].
        features: of the n samples, or None where the method needs none.
        validation: of held-out samples (--val), or None.
        scores: float [n], what a trace, repeats or pixels came to (see the method), or None.
        pretrained: floating [n, d], embeddings by an ImageNet network, or None.
    """

    labels: Tensor
    features: Features | None = None
    validation: Features | None = None
    scores: Tensor | None = None
    pretrained: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor, label: int | None = None) -> SelectionInputs:
        """The inputs of the samples at ``indices`` (int64 [m]); validation samples of ``label`` if it is given."""
        held_out = self.validation
        if held_out is not None and label is not None:
            held_out = held_out.subset((held_out.labels == label).nonzero()[:, 0])
        return SelectionInputs(
            self.labels[indices],
            None if self.features is None else self.features.subset(indices),
            held_out,
            None if self.scores is None else self.scores[indices],
            None if self.pretrained is None else self.pretrained[indices],
        )


@dataclass(frozen=True)
class PickSettings:
    """How one pick is made: the seed of its random choices, where it computes, the bytes that it may take."""

    seed: int
    device: torch.device
    memory_budget: int | None = None

    def with_seed(self, seed: int) -> PickSettings:
        """The same with another seed."""
        return replace(self, seed=seed)


class Method(ABC):
    """A selection method; its dataclass fields are its options.

    Attributes:
        source: the paper, or where the method is from.
        need: what it looks at.
        takes_validation: whether it uses held-out samples where there are some.
        whole: whether it keeps every sample, so that neither a fraction nor a balance applies.
        acts_with: options that act only where another one has this value, as {option: (other, value)}.
        embeddings_only: whether pretrained embeddings, where it takes them, make a proxy superfluous.
    """

    source: ClassVar[str]
    need: ClassVar[Need] = Need.FEATURES
    takes_validation: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    acts_with: ClassVar[Mapping[str, tuple[str, str]]] = {}
    embeddings_only: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[Need, ...]:
        """All that it looks at with its options as they are."""
        return (self.need,)

    @property
    def canonical(self) -> str | None:
        """The name of the method that it equals with its options as they are, where that has a name of its own."""
        return None

    @property
    def nested(self) -> bool:
        """Whether the first k picks of a larger selection are the selection of size k."""
        return True

    @abstractmethod
    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Return ``budget`` of the ``len(inputs)`` samples, numbered from 0, in the order picked."""

    def pick_classes(
        self, classes: Iterable[SelectionInputs], budgets: Sequence[int], settings: Sequence[PickSettings]
    ) -> list[Coreset]:
        """One ``pick`` a class, each class made when its turn comes; a method that batches them overrides this."""
        return [self.pick(*each) for each in zip(classes, budgets, settings, strict=True)]

    def features_of(self, inputs: SelectionInputs) -> Features:
        """The features, or UserError that says what is missing."""
        if inputs.features is None:
            raise UserError(f"{type(self).__name__} needs {self.need.value}; none were given")
        return inputs.features

    def scores_of(self, inputs: SelectionInputs) -> Tensor:
        """The scores, or UserError that says what is missing."""
        if inputs.scores is None:
            raise UserError(
                f"{type(self).__name__} needs {self.need.value}, which a library call cannot compute: "
                f"run main.py --selection {type(self).__name__}, or pass scores="
            )
        return inputs.scores


def highest(scores: Tensor, budget: int) -> Coreset:
    """The ``budget`` highest of ``scores`` [n], the lowest index first among those equal to rounding."""
    order = ranking(scores.double())[:budget]
    return Coreset(order.cpu().numpy(), gains=scores.double()[order].cpu().numpy())
