"""DeepFool: the images nearest to a decision boundary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from methods.base import Need
from methods.score_method import ScoreMethod
from utils.device import untuned_convolutions

if TYPE_CHECKING:
    from utils.data.batches import Batch

_STEPS = 50
_OVERSHOOT = 0.02
_BOUNDARIES = 10  # of the likeliest classes, as in the authors' code


@dataclass(frozen=True)
class DeepFool(ScoreMethod):
    """Pick the smallest ‖Σ_t r_t‖² first, r_t the linearised steps that take an image over the nearest boundary.

    The scores to select by are those of ``perturbations``.
    """

    source = (
        "Moosavi-Dezfooli et al., DeepFool, CVPR 2016, algorithm 2; "
        "to select by: Ducoffe & Precioso, Adversarial Active Learning for Deep Networks, 2018"
    )
    need = (Need.PIXELS,)
    hard_is_low = True


def perturbations(network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    """Return the squared length of the perturbation that changes each image's prediction, float64 [n].

    From the prediction k̂, with f_k and w_k the logits and their gradients by the pixels less those of k̂, a step
    is r = |f_l| / ‖w_l‖² · w_l towards the nearest linearised boundary l = argmin_k |f_k| / ‖w_k‖, k among the ten
    classes with the highest logits, as in the authors' code. An image stops when its prediction changes, at the
    latest after 50 steps; it is looked at 1.02 times its perturbation away, the paper's overshoot, which is not
    part of the score. An image from which no boundary is in sight, every w_k being zero, scores +inf. The network
    is used in evaluation mode, and left in the mode that it was in.

    Args:
        network: images [b, c, h, w] to logits [b, C].
        batches: of the images to score, in order.
    """
    training = network.training
    network.eval()
    try:
        with untuned_convolutions():
            scores = [_squared_perturbations(network, batch.x) for batch in batches]
    finally:
        network.train(training)
    return torch.cat(scores) if scores else torch.zeros(0, dtype=torch.float64)


def _squared_perturbations(network: nn.Module, images: Tensor) -> Tensor:
    predictions = _predict(network, images)  # [b]
    total = torch.zeros_like(images)
    lost = torch.zeros_like(predictions, dtype=torch.bool)  # no boundary in sight
    active = torch.arange(len(images), device=images.device)
    for _ in range(_STEPS):
        step, in_sight = _step_to_boundary(network, _moved(images, total, active), predictions[active])
        total[active] += step
        lost[active] = ~in_sight
        unchanged = _predict(network, _moved(images, total, active)) == predictions[active]
        active = active[in_sight & unchanged]
        if not len(active):
            break
    return total.double().flatten(1).square().sum(dim=1).masked_fill(lost, torch.inf)  # [b]


def _step_to_boundary(network: nn.Module, x: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step [b, c, h, w] to the nearest linearised boundary, and whether there is one, bool [b]."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = network(x)
        kept = logits.detach().topk(min(_BOUNDARIES, logits.shape[1])).indices.sort(dim=1).values  # [b, k]
        gaps = logits.gather(1, kept) - logits.gather(1, predictions[:, None])  # [b, k]
    one = torch.eye(gaps.shape[1], dtype=gaps.dtype, device=x.device)
    each = [torch.autograd.grad(gaps, x, row.expand_as(gaps), retain_graph=True)[0] for row in one]
    gradients = torch.stack(each, dim=1)  # [b, k, c, h, w]
    norms = gradients.flatten(2).norm(dim=2)  # [b, k]
    seen = norms > 0  # the prediction's own gap is constant, and no boundary
    distances = (gaps.detach().abs() / norms).masked_fill(~seen, torch.inf)
    nearest = distances.amin(dim=1)  # [b]
    place = (distances == nearest[:, None]).to(torch.int8).argmax(dim=1)  # of equals the lowest class
    everyone = torch.arange(len(x), device=x.device)
    scale = (nearest / norms[everyone, place]).where(seen.any(dim=1), 0.0)
    return scale[:, None, None, None] * gradients[everyone, place], nearest < torch.inf


def _moved(images: Tensor, total: Tensor, active: Tensor) -> Tensor:
    return images[active] + (1 + _OVERSHOOT) * total[active]


def _predict(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x).argmax(dim=1)
