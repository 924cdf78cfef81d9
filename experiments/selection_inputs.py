"""From what a method says it needs to what is computed for it, and nothing beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from methods.base import Method, Need, SelectionInputs
from methods.features import Features, as_scores
from methods.grand import mean_gradient_norms
from methods.score_method import TraceMethod
from utils.training.training_trace import TrainingTrace


def gather(
    method: Method,
    labels: Tensor,
    *,
    features: Callable[[], Features],
    trace: Callable[[], TrainingTrace],
    repeats: Callable[[], Iterable[Features]],
    perturbations: Callable[[], Tensor],
    pretrained: Callable[[], Tensor] | None = None,
    validation: Callable[[], Features] | None = None,
) -> SelectionInputs:
    """Return the inputs for ``method``; of the callables, only those are called whose result it needs.

    Args:
        labels: int64 [n].
        features: of the n samples by the proxy.
        trace: of the proxy's training.
        repeats: features of the n samples by independently seeded networks, for GraNd.
        perturbations: what ``methods.deepfool.perturbations`` gives, [n].
        pretrained: what ``nets.pretrained.pretrained_embeddings`` gives, [n, d].
        validation: features of held-out samples; None where there are none.
    """
    scores = None
    if isinstance(method, TraceMethod):
        scores = method.score(trace())
    elif method.need is Need.REPEATS:
        scores = mean_gradient_norms(repeats())
    elif method.need is Need.PIXELS:
        scores = perturbations()
    return SelectionInputs(
        labels,
        features() if Need.FEATURES in method.needs else None,
        validation() if validation is not None and method.takes_validation else None,
        None if scores is None else as_scores(scores, len(labels)).to(labels.device),
        pretrained() if pretrained is not None and Need.PRETRAINED in method.needs else None,
    )
