"""What a class-incremental run came to: the accuracies step by step, and the measures made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar


@dataclass(frozen=True)
class ContinualMeasures:
    """Accuracies in percent, of predictions among the classes seen so far.

    Attributes:
        classes: of each step.
        matrix: row t has the accuracy on the classes of each step i ≤ t, after step t.
        accuracies: after each step on all classes seen; every test image counts the same.
        average_accuracy: the mean of ``accuracies``: average incremental accuracy (Rebuffi et al., 2017).
        forgetting: mean over all steps but the last of the best accuracy before the last step less that after it
            (Chaudhry et al., 2018); None of a single step.
        backward_transfer: mean over the same of the accuracy after the last step less that after its own (Lopez-Paz
            and Ranzato, 2017); None of a single step.
    """

    NAMES: ClassVar = (
        "average_accuracy",
        "forgetting",
        "backward_transfer",
    )  # in tables, beside the last accuracy

    classes: tuple[tuple[int, ...], ...]
    matrix: tuple[tuple[float, ...], ...]
    accuracies: tuple[float, ...]
    average_accuracy: float
    forgetting: float | None
    backward_transfer: float | None

    @classmethod
    def of(
        cls, classes: Sequence[Sequence[int]], matrix: Sequence[Sequence[float]], accuracies: Sequence[float]
    ) -> ContinualMeasures:
        """Return the measures of a matrix, row t of which has t + 1 accuracies."""
        if not len(classes) == len(matrix) == len(accuracies) or [*map(len, matrix)] != [*range(1, len(matrix) + 1)]:
            raise ValueError("a matrix of accuracies has a row for each step, and in it a number for each up to that")
        last = range(len(matrix) - 1)
        best = [max(matrix[row][step] for row in range(step, len(matrix) - 1)) for step in last]
        return cls(
            tuple(map(tuple, classes)),
            tuple(map(tuple, matrix)),
            tuple(accuracies),
            fmean(accuracies),
            fmean(best[step] - matrix[-1][step] for step in last) if last else None,
            fmean(matrix[-1][step] - matrix[step][step] for step in last) if last else None,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContinualMeasures:
        """Return the measures that JSON holds. Raises ValueError where they are not those of its matrix."""
        measures = cls.of(values["classes"], values["matrix"], values["accuracies"])
        if any(values[name] != getattr(measures, name) for name in cls.NAMES):
            raise ValueError("measures that are not those of the matrix")
        return measures

    @property
    def classes_seen(self) -> tuple[int, ...]:
        """How many classes were seen after each step."""
        return tuple(sum(map(len, self.classes[: step + 1])) for step in range(len(self.classes)))
