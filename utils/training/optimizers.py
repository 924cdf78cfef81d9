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

_WARM_UP = 25.0  # OneCycleLR starts at this part of the highest learning rate
_FUSED = {"Adam", "AdamW", "SGD"}  # whose whole step is one pass over the parameters, on CPUs and GPUs alike

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name: kind
    for name, kind in sorted(vars(torch.optim).items())
    if inspect.isclass(kind) and issubclass(kind, Optimizer) and kind is not Optimizer and name not in _UNSUITABLE
}


@dataclass(frozen=True)
class _Training:
    """What the arguments of a torch scheduler are worked out from; durations in steps (batches)."""

    peak_lr: float
    min_lr: float
    gamma: float
    period: int  # step_size epochs
    steps: int
    steps_per_epoch: int

    @property
    def last(self) -> int:
        """The number of steps from the first learning rate to the last, at least one."""
        return max(1, self.steps - 1)


@dataclass(frozen=True)
class _Schedule:
    """The arguments of the scheduler of that name in torch, and the fields of SchedulerConfig that they use."""

    arguments: Callable[[_Training], dict[str, Any]]
    uses: tuple[str, ...] = ()


_SCHEDULES = {
    "CosineAnnealingLR": _Schedule(lambda t: {"T_max": t.last, "eta_min": t.min_lr}, ("min_lr",)),
    "CosineAnnealingWarmRestarts": _Schedule(lambda t: {"T_0": t.period, "eta_min": t.min_lr}, ("min_lr", "step_size")),
    "StepLR": _Schedule(lambda t: {"step_size": t.period, "gamma": t.gamma}, ("gamma", "step_size")),
    "ExponentialLR": _Schedule(lambda t: {"gamma": t.gamma ** (1 / t.steps_per_epoch)}, ("gamma",)),
    "ConstantLR": _Schedule(lambda t: {"factor": t.gamma, "total_iters": t.period}, ("gamma", "step_size")),
    "LinearLR": _Schedule(
        lambda t: {"start_factor": 1.0, "end_factor": t.min_lr / t.peak_lr, "total_iters": t.last}, ("min_lr",)
    ),
    "PolynomialLR": _Schedule(lambda t: {"total_iters": t.steps}),
    "CyclicLR": _Schedule(
        lambda t: {"base_lr": t.min_lr, "max_lr": t.peak_lr, "step_size_up": t.period, "cycle_momentum": False},
        ("min_lr", "step_size"),
    ),
    "OneCycleLR": _Schedule(
        lambda t: {
            "max_lr": t.peak_lr,
            "total_steps": t.steps,
            "div_factor": _WARM_UP,
            "final_div_factor": t.peak_lr / _WARM_UP / t.min_lr if t.min_lr else float("inf"),
            "cycle_momentum": False,
        },
        ("min_lr",),
    ),
}
SCHEDULERS: tuple[str, ...] = tuple(_SCHEDULES)


def optimizer_name(name: str) -> str:
    """Return the spelling of an optimiser that can train a network here.

    Raises:
        UserError: unknown, or known to torch but not usable with dense first-order steps.
    """
    for unsuitable, reason in _UNSUITABLE.items():
        if name.casefold() == unsuitable.casefold():
            raise UserError(f"optimizer {unsuitable} cannot be used: {reason}; choose from {', '.join(OPTIMIZERS)}")
    return choose("optimizer", name, OPTIMIZERS)


def optimizer_options(name: str) -> frozenset[str]:
    """Return the fields of OptimizerConfig, but for its name, that the optimiser ``name`` takes."""
    taken = inspect.signature(OPTIMIZERS[optimizer_name(name)]).parameters
    return frozenset(field.name for field in dataclasses.fields(OptimizerConfig) if field.name in taken)


def scheduler_options(name: str) -> frozenset[str]:
    """Return the fields of SchedulerConfig, but for its name, that the schedule ``name`` uses."""
    return frozenset(_SCHEDULES[choose("scheduler", name, SCHEDULERS)].uses)


def build_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter]) -> Optimizer:
    """Build the optimiser ``config.name`` over ``parameters``, given only those settings that it takes.

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


def lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Lay every moment out in memory as its parameter is, as fused optimisers take for granted.

    A state from a checkpoint is laid out as on the device that wrote it; networks are laid out otherwise on a GPU.
    """
    for parameter, state in optimizer.state.items():
        for name, moment in state.items():
            if isinstance(moment, torch.Tensor) and moment.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=moment.dtype, requires_grad=False).copy_(moment)


def build_scheduler(
    config: SchedulerConfig | None, optimizer: Optimizer, epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """Build the schedule of ``epochs * steps_per_epoch`` batches, to be stepped once after each of them.

    CosineAnnealingLR and LinearLR give the first batch the optimiser's lr and the last one ``min_lr``;
    StepLR, ConstantLR, CyclicLR (half a cycle) and CosineAnnealingWarmRestarts count ``step_size`` in
    epochs; ExponentialLR shrinks by ``gamma`` an epoch, a little every batch; PolynomialLR falls in a
    straight line towards 0; OneCycleLR rises from lr / 25 to lr and falls to ``min_lr``. ``None`` keeps lr.

    Raises:
        UserError: an unknown schedule, or a setting that torch refuses.
    """
    if config is None:
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    if epochs < 1 or steps_per_epoch < 1:
        raise ValueError(f"a schedule needs at least one step, not {epochs} epochs of {steps_per_epoch}")
    name = choose("scheduler", config.name, SCHEDULERS)
    peak_lr, steps = float(optimizer.param_groups[0]["lr"]), epochs * steps_per_epoch
    period = config.step_size * steps_per_epoch
    training = _Training(peak_lr, config.min_lr, config.gamma, period, steps, steps_per_epoch)
    try:
        return getattr(lr_scheduler, name)(optimizer, **_SCHEDULES[name].arguments(training))
    except ValueError as error:
        raise UserError(f"scheduler {name} refuses its settings: {error}") from error
