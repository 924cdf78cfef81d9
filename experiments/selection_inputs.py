"""From what a method says it needs to what is computed for it, and nothing beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from methods.base import Method, Need, SelectionInputs
from methods.features import AnyFeatures, Features
from methods.grand import mean_gradient_norms
from methods.score_method import ScoreMethod, TraceMethod
from utils.arrays import as_scores
from utils.training.training_trace import TrainingTrace


def gather(
    method: Method,
    labels: Tensor,
    *,
    features: Callable[[], AnyFeatures],
    scores: Callable[[ScoreMethod], Tensor],
    difficulty: Callable[[], Tensor] | None = None,
    pretrained: Callable[[], Tensor] | None = None,
    validation: Callable[[], Features] | None = None,
) -> SelectionInputs:
    """Return the inputs for ``method``; of the callables, only those are called whose result it needs.

    Args:
        labels: int64 [n].
        features: of the n samples by the proxy.
        scores: takes a method that ranks by scores to them, [n].
        difficulty: how hard each sample is, [n]; None where nothing asks for it.
        pretrained: what ``nets.pretrained.pretrained_embeddings`` gives, [n, d].
        validation: features of held-out samples; None where there are none.
    """

    def checked(values: Tensor) -> Tensor:
        return as_scores(values, len(labels)).to(labels.device)

    return SelectionInputs(
        labels,
        features() if method.looks_at_features else None,
        validation() if validation is not None and method.takes_validation else None,
        checked(scores(method)) if isinstance(method, ScoreMethod) else None,
        pretrained() if pretrained is not None and Need.PRETRAINED in method.needs else None,
        None if difficulty is None else checked(difficulty()),
    )


def compute_scores(
    method: ScoreMethod,
    *,
    trace: Callable[[], TrainingTrace],
    repeats: Callable[[], Iterable[Features]],
    perturbations: Callable[[], Tensor],
) -> Tensor:
    """Return the scores of ``method``, float64 [n]; of the callables, only the one is called that they come from.

    Args:
        method: what is scored by.
        trace: of the proxy's training.
        repeats: features of the n samples by independently seeded networks, for GraNd.
        perturbations: what ``methods.deepfool.perturbations`` gives, [n].
    """
    if isinstance(method, TraceMethod):
        return method.score(trace())
    return mean_gradient_norms(repeats()) if Need.REPEATS in method.needs else perturbations()
