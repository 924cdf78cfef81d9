"""What a run came to, in one value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from utils.config import RunConfig
from utils.errors import UserError
from utils.landscape.certificate import Certificate
from utils.records.continual_measures import ContinualMeasures
from utils.training.evaluation import Evaluation
from utils.training.history import Epoch, best_accuracy, final_accuracy

PHASES = ("proxy", "features", "selection", "training")


@dataclass(frozen=True)
class Timing:
    """What phases took in seconds, and how many images a second those that look at images saw."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    images_per_second: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None  # that was found where --temperature is auto
    peak_memory_bytes: int = 0  # of what they cover


@dataclass(frozen=True)
class Summary:
    """What came out of a complete run; accuracies in percent of the test images.

    ``final_accuracy`` is that of the last test, ``best_accuracy`` the highest of all tests.

    Raises:
        ValueError: a number is out of its range, or ``seconds`` lacks a phase.
    """

    dataset: str
    model: str
    selection: str
    fraction: float
    seed: int
    repeat: int
    coreset_size: int
    training_steps: int
    final_accuracy: float
    best_accuracy: float
    seconds: Mapping[str, float]  # of each of PHASES
    peak_memory_bytes: int
    device: str  # in words
    test_interval: int
    selection_model: str | None = None  # the proxy; None where the method needs none
    images_per_second: Mapping[str, float] = field(default_factory=dict)  # of a phase
    budget: int | None = None  # the images asked for in all, or of each class; else a fraction was asked for
    ipc: int | None = None
    temperature: float | None = None  # at which the selection looked at the loss, where that was found by a rule
    wrong_labels: float | None = None  # percent of the images trained on whose label --label_noise made wrong
    continual: ContinualMeasures | None = None  # of a scenario; ``final_accuracy`` is then that after its last step
    certificate: Certificate | None = None  # of the coreset at its proxy, where that was measured
    class_accuracy: Mapping[str, float | None] | None = None  # at the last test, by class; None of one without images
    top5_accuracy: float | None = None  # at the last test; None where there are no more classes than five

    def __post_init__(self) -> None:
        if set(self.seconds) != set(PHASES):
            raise ValueError(f"seconds are given for {sorted(self.seconds)}, not for {sorted(PHASES)}")
        rates = (*self.seconds.values(), *self.images_per_second.values())
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
            raise ValueError("a duration or speed is negative or not finite")
        if not 0 <= self.final_accuracy <= self.best_accuracy <= 100:
            raise ValueError(f"accuracies {self.final_accuracy}, {self.best_accuracy} are not percents")
        percents = (self.wrong_labels, self.top5_accuracy, *(self.class_accuracy or {}).values())
        if odd := [value for value in percents if value is not None and not 0 <= value <= 100]:
            raise ValueError(f"wrong labels, top-5 or class accuracies {odd} are not percents")
        if self.top5_accuracy is not None and self.top5_accuracy < self.final_accuracy:
            raise ValueError(f"the top-5 accuracy {self.top5_accuracy} is below the accuracy {self.final_accuracy}")
        if min(self.coreset_size, self.training_steps, self.peak_memory_bytes) < 0:
            raise ValueError("a count is negative")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**asdict(self), "complete": True}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Summary:
        """Return the summary in what ``summary.json`` holds; names that this version does not know are left out.

        Raises:
            UserError: a value is missing, of the wrong type or out of range.
        """
        try:
            known = {each.name: values[each.name] for each in fields(cls) if each.name in values}
            if known.get("continual") is not None:
                known["continual"] = ContinualMeasures.from_dict(known["continual"])
            if known.get("certificate") is not None:
                known["certificate"] = Certificate.from_dict(known["certificate"])
            return cls(**known)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise UserError(f"not the summary of a complete run: {error}") from error


def summarise(
    config: RunConfig,
    history: Sequence[Epoch],
    *,
    coreset_size: int,
    pool_size: int,
    training_steps: int,
    seconds: Mapping[str, float],
    peak_memory_bytes: int,
    device: str,
    images_per_second: Mapping[str, float] | None = None,
    temperature: float | None = None,
    wrong_labels: float | None = None,
    continual: ContinualMeasures | None = None,
    certificate: Certificate | None = None,
    test: Evaluation | None = None,
    class_names: Sequence[str] = (),
) -> Summary:
    """Return the summary of a run with this configuration and history; phases left out of ``seconds`` took 0.

    Args:
        test: the last one of the history, if more is known of it than that says.
        class_names: in the order of labels.
    """
    return Summary(
        **{"fraction": config.size.fraction(coreset_size, pool_size), **identity(config)},
        coreset_size=coreset_size,
        training_steps=training_steps,
        final_accuracy=final_accuracy(history),
        best_accuracy=best_accuracy(history),
        seconds=dict.fromkeys(PHASES, 0.0) | dict(seconds),
        peak_memory_bytes=peak_memory_bytes,
        device=device,
        images_per_second=dict(images_per_second or {}),
        temperature=temperature,
        wrong_labels=wrong_labels,
        continual=continual,
        certificate=certificate,
        class_accuracy=None if test is None else dict(zip(class_names, test.by_class, strict=True)),
        top5_accuracy=None if test is None else test.top5,
    )


def identity(config: RunConfig) -> dict[str, Any]:
    """Return what a summary repeats of the configuration, complete run or not."""
    return {
        "dataset": config.data.dataset,
        "model": config.model,
        "selection": config.selection.method,
        config.size.unit: config.size.amount,
        "seed": config.seed,
        "repeat": config.repeat,
        "test_interval": config.training.test_interval,
        "selection_model": config.selection.model,
    }


def check_summary(summary: Summary, config: RunConfig, history: Sequence[Epoch]) -> None:
    """Raise UserError where the summary is of another run, or says something else than the history."""
    values = asdict(summary)
    for name, expected in identity(config).items():
        if values[name] != expected:
            raise UserError(f"the summary says {name} {values[name]!r}, the configuration {expected!r}")
    accuracies = (summary.final_accuracy, summary.best_accuracy)
    if accuracies != (final_accuracy(history), best_accuracy(history)):
        raise UserError("the summary's accuracies are not those of the history")
    if (summary.continual is None) != (config.scenario is None):
        raise UserError("the summary is of another scenario than the configuration")
