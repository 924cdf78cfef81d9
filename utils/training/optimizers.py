"""Optimisers and learning-rate schedules by their torch names, given only what they take.

Schedules are stepped once per batch: a run of ``epochs * steps_per_epoch`` batches trains its first batch at
the schedule's first learning rate and its last batch at the last one.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from utils.config import OptimizerConfig, SchedulerConfig
from utils.errors import UserError, choose

_UNSUITABLE = {
    "LBFGS": "it evaluates the loss several times a step",
    "Muon": "it takes matrices only, and networks have biases and kernels",
    "SparseAdam": "it takes sparse gradients only",
}

_FUSED = {"Adam", "AdamW", "SGD"}  # whose whole step is one pass over the parameters, on CPUs and GPUs alike

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name: kind
    for name, kind in sorted(vars(torch.optim).items())
    if inspect.isclass(kind) and issubclass(kind, Optimizer) and kind is not Optimizer and name not in _UNSUITABLE
}


@dataclass(frozen=True)
class _Span:
    """How long a schedule lasts, in steps (batches)."""

    steps: int
    steps_per_epoch: int

    @property
    def last(self) -> int:
        """The number of steps from the first learning rate to the last, at least one."""
        return max(1, self.steps - 1)


@dataclass(frozen=True)
class _Schedule:
    """How to build one torch scheduler, and which fields of SchedulerConfig it uses."""

    build: Callable[[Optimizer, SchedulerConfig, _Span], LRScheduler]
    uses: frozenset[str] = frozenset()


def _cosine(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=span.last, eta_min=config.min_lr)


def _warm_restarts(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    period = config.step_size * span.steps_per_epoch
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=period, eta_min=config.min_lr)


def _step(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    period = config.step_size * span.steps_per_epoch
    return lr_scheduler.StepLR(optimizer, step_size=period, gamma=config.gamma)


def _exponential(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    return lr_scheduler.ExponentialLR(optimizer, gamma=config.gamma ** (1 / span.steps_per_epoch))


def _constant(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    period = config.step_size * span.steps_per_epoch
    return lr_scheduler.ConstantLR(optimizer, factor=config.gamma, total_iters=period)


def _linear(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    end = config.min_lr / _peak(optimizer)
    return lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=end, total_iters=span.last)


def _polynomial(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    return lr_scheduler.PolynomialLR(optimizer, total_iters=span.steps)


def _cyclic(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    half = config.step_size * span.steps_per_epoch
    peak = _peak(optimizer)
    return lr_scheduler.CyclicLR(optimizer, base_lr=config.min_lr, max_lr=peak, step_size_up=half, cycle_momentum=False)


def _one_cycle(optimizer: Optimizer, config: SchedulerConfig, span: _Span) -> LRScheduler:
    peak, warm_up = _peak(optimizer), 25.0
    floor = peak / warm_up / config.min_lr if config.min_lr else float("inf")
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peak,
        total_steps=span.steps,
        div_factor=warm_up,
        final_div_factor=floor,
        cycle_momentum=False,
    )


_SCHEDULES = {
    "CosineAnnealingLR": _Schedule(_cosine, frozenset({"min_lr"})),
    "CosineAnnealingWarmRestarts": _Schedule(_warm_restarts, frozenset({"min_lr", "step_size"})),
    "StepLR": _Schedule(_step, frozenset({"gamma", "step_size"})),
    "ExponentialLR": _Schedule(_exponential, frozenset({"gamma"})),
    "ConstantLR": _Schedule(_constant, frozenset({"gamma", "step_size"})),
    "LinearLR": _Schedule(_linear, frozenset({"min_lr"})),
    "PolynomialLR": _Schedule(_polynomial),
    "CyclicLR": _Schedule(_cyclic, frozenset({"min_lr", "step_size"})),
    "OneCycleLR": _Schedule(_one_cycle, frozenset({"min_lr"})),
}
SCHEDULERS: tuple[str, ...] = tuple(_SCHEDULES)


def optimizer_name(name: str) -> str:
    """The spelling of an optimiser that can train a network here.

    Raises:
        UserError: unknown, or known to torch but not usable with dense first-order steps.
    """
    for unsuitable, reason in _UNSUITABLE.items():
        if name.casefold() == unsuitable.casefold():
            raise UserError(f"optimizer {unsuitable} cannot be used: {reason}; choose from {', '.join(OPTIMIZERS)}")
    return choose("optimizer", name, OPTIMIZERS)


def optimizer_options(name: str) -> frozenset[str]:
    """The fields of OptimizerConfig, but for its name, that the optimiser ``name`` takes."""
    taken = inspect.signature(OPTIMIZERS[optimizer_name(name)]).parameters
    fields = {field.name for field in dataclasses.fields(OptimizerConfig)}
    return frozenset(fields & taken.keys())


def scheduler_options(name: str) -> frozenset[str]:
    """The fields of SchedulerConfig, but for its name, that the schedule ``name`` uses."""
    return _SCHEDULES[choose("scheduler", name, SCHEDULERS)].uses


def build_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter]) -> Optimizer:
    """The optimiser ``config.name`` over ``parameters``, given only those settings that it takes.

    Nesterov's form without momentum is plain descent, and is built as that.

    Raises:
        UserError: an unknown optimiser, or a setting that torch refuses.
    """
    kind: Any = OPTIMIZERS[optimizer_name(config.name)]
    options = {name: getattr(config, name) for name in optimizer_options(config.name)}
    if options.get("nesterov") and config.momentum == 0:
        options["nesterov"] = False
    if kind.__name__ in _FUSED:
        options["fused"] = True
    try:
        return kind(parameters, **options)
    except ValueError as error:
        raise UserError(f"optimizer {config.name} refuses its settings: {error}") from error


def build_scheduler(
    config: SchedulerConfig | None, optimizer: Optimizer, epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """The schedule of ``epochs * steps_per_epoch`` batches, to be stepped once after each of them.

    CosineAnnealingLR and LinearLR give the first batch the optimiser's lr and the last one ``min_lr``;
    StepLR, ConstantLR, CyclicLR (half a cycle) and CosineAnnealingWarmRestarts count ``step_size`` in
    epochs; ExponentialLR shrinks by ``gamma`` an epoch, a little every batch; PolynomialLR falls in a
    straight line towards 0; OneCycleLR rises from lr / 25 to lr and falls to ``min_lr``. ``None`` keeps lr.

    Raises:
        UserError: an unknown schedule, or a setting that torch refuses.
    """
    if epochs < 1 or steps_per_epoch < 1:
        raise ValueError(f"a schedule needs at least one step, not {epochs} epochs of {steps_per_epoch}")
    if config is None:
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    schedule = _SCHEDULES[choose("scheduler", config.name, SCHEDULERS)]
    try:
        return schedule.build(optimizer, config, _Span(epochs * steps_per_epoch, steps_per_epoch))
    except ValueError as error:
        raise UserError(f"scheduler {config.name} refuses its settings: {error}") from error


def _peak(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])
