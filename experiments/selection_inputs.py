"""From what a method says it needs to what is computed for it, and nothing beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from methods.base import Method, Need, SelectionInputs
from methods.features import Features, as_scores
from methods.grand import mean_gradient_norms


def gather(
    method: Method,
    labels: Tensor,
    *,
    features: Callable[[], Features],
    forgetting: Callable[[], Tensor],
    repeats: Callable[[], Iterable[Features]],
    perturbations: Callable[[], Tensor],
    pretrained: Callable[[], Tensor] | None = None,
    validation: Callable[[], Features] | None = None,
) -> SelectionInputs:
    """Return the inputs for ``method``; of the callables, only those are called whose result it needs.

    Args:
        labels: int64 [n].
        features: of the n samples by the proxy.
        forgetting: what a ``ForgettingTrace`` gives, [n].
        repeats: features of the n samples by independently seeded networks, for GraNd.
        perturbations: what ``methods.deepfool.perturbations`` gives, [n].
        pretrained: what ``nets.pretrained.pretrained_embeddings`` gives, [n, d].
        validation: features of held-out samples; None where there are none.
    """
    scored: dict[Need, Callable[[], Tensor]] = {
        Need.FORGETTING: forgetting,
        Need.REPEATS: lambda: mean_gradient_norms(repeats()),
        Need.PIXELS: perturbations,
    }
    scores = [as_scores(scored[need](), len(labels)).to(labels.device) for need in method.needs if need in scored]
    return SelectionInputs(
        labels,
        features() if Need.FEATURES in method.needs else None,
        validation() if validation is not None and method.takes_validation else None,
        scores[0] if scores else None,
        pretrained() if pretrained is not None and Need.PRETRAINED in method.needs else None,
    )
