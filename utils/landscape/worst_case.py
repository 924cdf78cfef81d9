"""The worst case of differences of losses in a ball around a network, by projected gradient ascent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from utils.seeding import generator

Differences = Callable[[Tensor], tuple[Tensor, Tensor]]  # from [B, P] to values [B] and gradients [B, P], in float64

_STEPS = 50
_GAIN = 1e-4  # relative: what a step must add to go on
_SHORTEST = 1e-3  # of the radius: the step to give up at


def worst_changes(differences: Differences, at_zero: Tensor, radius: float, starts: int = 1, seed: int = 0) -> Tensor:
    """Return max over ‖ε‖ ≤ ρ of |D_b(ε)| − |D_b(0)| for B differences, float64 [B], as far as ascents find it.

    Each start is followed upwards along D and along −D. The first begins where the linear part is largest, at
    ± ρ ∇D(0) / ‖∇D(0)‖, the others at random points of the sphere. What is found is attained in the ball, so that it
    is never above the true worst case.

    Args:
        differences: D and its gradients at one point for each.
        at_zero: zeros [B, P] in float64, on the device to compute on.
        radius: ρ, above 0.
        starts: ascents for each sign.
        seed: of the random starts.
    """
    values, gradients = differences(at_zero)
    worst = values.abs()
    for number in range(starts):
        draw = torch.randn(at_zero.shape, generator=generator(seed, "ascent", number), dtype=torch.float64)
        random = draw.to(at_zero.device)
        direction = torch.where(gradients.norm(dim=1, keepdim=True) > 0, gradients, random) if number == 0 else random
        start = radius * direction / direction.norm(dim=1, keepdim=True)
        for sign in (1, -1):
            worst = torch.maximum(worst, _ascend(differences, sign * start, sign, radius))
    return worst - values.abs()


def _ascend(differences: Differences, point: Tensor, sign: int, radius: float) -> Tensor:
    """Return what sign · D reaches from ``point`` [B, P], [B]; a step that does not rise is taken back and shortened.

    A step goes along the gradient by a multiple of the radius and is projected onto the ball.
    """

    def rise(at: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = differences(at)
        return sign * values, sign * slopes

    value, slope = rise(point)
    length = torch.full_like(value, radius)
    rising = torch.ones_like(value, dtype=torch.bool)
    for _ in range(_STEPS):
        direction = slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-300)
        trial = point + length[:, None] * direction
        trial = trial * (radius / trial.norm(dim=1, keepdim=True).clamp(min=1e-300)).clamp(max=1)
        trial_value, trial_slope = rise(trial)
        gain = torch.where(trial_value.isfinite(), trial_value - value, -torch.inf)
        better = (gain > 0) & rising
        rising &= (gain > _GAIN * value.abs()) | ((gain <= 0) & (length > _SHORTEST * radius))
        length = torch.where(better, 2 * length, length / 4)
        value = torch.where(better, trial_value, value)
        point = torch.where(better[:, None], trial, point)
        slope = torch.where(better[:, None], trial_slope, slope)
        if not bool(rising.any()):
            break
    return value


def second_order_bound(gradient: float, curvature: float, radius: float) -> float:
    """Return ‖∇D‖ ρ + (ρ²/2) |λ|_max, which bounds the worst change to second order (LCMat, Shin et al. 2023).

    Args:
        gradient: ‖∇D(0)‖₂.
        curvature: the largest magnitude of an eigenvalue of ∇²D(0): |D| grows with D and with −D.
        radius: ρ.
    """
    return gradient * radius + radius**2 / 2 * curvature
