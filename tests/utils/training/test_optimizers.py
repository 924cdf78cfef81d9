"""Learning rates, step by step; optimisers, given only what they take."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch.optim import Optimizer

from utils.config import OptimizerConfig, SchedulerConfig
from utils.errors import UserError
from utils.training.optimizers import (
    OPTIMIZERS,
    SCHEDULERS,
    build_optimizer,
    build_scheduler,
    optimizer_options,
    scheduler_options,
)


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.zeros(3))]


def optimizer_at(lr: float) -> Optimizer:
    return build_optimizer(OptimizerConfig(lr=lr), parameters())


def sequence(config: SchedulerConfig | None, epochs: int, steps_per_epoch: int, lr: float = 0.1) -> list[float]:
    """The learning rate that each step of the run is taken with."""
    optimizer = optimizer_at(lr)
    scheduler = build_scheduler(config, optimizer, epochs, steps_per_epoch)
    rates = []
    for _ in range(epochs * steps_per_epoch):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(3, 1), (3, 7), (200, 1), (40, 13), (1, 2)])
@pytest.mark.parametrize("lr", [0.1, 0.3, 1e-3])
@pytest.mark.parametrize("min_lr", [0.0, 1e-4])
def test_cosine_starts_exactly_at_lr_and_ends_exactly_at_min_lr(epochs, steps_per_epoch, lr, min_lr):
    rates = sequence(SchedulerConfig("CosineAnnealingLR", min_lr=min_lr), epochs, steps_per_epoch, lr)
    assert rates[0] == lr
    assert rates[-1] == min_lr
    last = len(rates) - 1
    expected = [min_lr + (lr - min_lr) * (1 + math.cos(math.pi * t / last)) / 2 for t in range(last + 1)]
    assert rates == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("name", [*SCHEDULERS, None])
def test_a_run_of_one_step_has_a_rate(name):
    (rate,) = sequence(SchedulerConfig(name) if name else None, 1, 1)
    assert 0 < rate <= 0.1


def test_step_counts_epochs():
    rates = sequence(SchedulerConfig("StepLR", gamma=0.1, step_size=2), 5, 3)
    assert rates == pytest.approx([0.1] * 6 + [0.01] * 6 + [0.001] * 3)


def test_exponential_shrinks_by_gamma_an_epoch():
    rates = sequence(SchedulerConfig("ExponentialLR", gamma=0.25), 3, 2)
    assert rates == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125])


def test_constant_is_torch_s_factor_for_the_first_epochs():
    rates = sequence(SchedulerConfig("ConstantLR", gamma=0.5, step_size=2), 3, 2)
    assert rates == pytest.approx([0.05] * 4 + [0.1] * 2)


def test_linear_goes_from_lr_to_min_lr():
    rates = sequence(SchedulerConfig("LinearLR", min_lr=0.02), 5, 1)
    assert rates == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])


def test_polynomial_goes_towards_zero():
    assert sequence(SchedulerConfig("PolynomialLR"), 2, 2) == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_warm_restarts_count_epochs():
    config = SchedulerConfig("CosineAnnealingWarmRestarts", min_lr=0.0, step_size=1)
    period = [0.05 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    assert sequence(config, 3, 4) == pytest.approx(period * 3)


def test_cyclic_rises_from_min_lr_to_lr_in_step_size_epochs():
    config = SchedulerConfig("CyclicLR", min_lr=0.02, step_size=1)
    assert sequence(config, 3, 2) == pytest.approx([0.02, 0.06, 0.1, 0.06, 0.02, 0.06])


@pytest.mark.parametrize("min_lr", [0.0, 1e-4, 0.05])
def test_one_cycle_peaks_at_lr_and_ends_at_min_lr(min_lr):
    rates = sequence(SchedulerConfig("OneCycleLR", min_lr=min_lr), 10, 10)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert rates[-1] == pytest.approx(min_lr)


def test_no_schedule_keeps_lr():
    assert sequence(None, 3, 2) == [0.1] * 6


@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_momentum_is_the_optimiser_s_alone(name, optimizer):
    built = build_optimizer(OptimizerConfig(optimizer, lr=0.1), parameters())
    before = {key: built.param_groups[0].get(key) for key in ("momentum", "betas")}
    scheduler = build_scheduler(SchedulerConfig(name), built, 2, 3)
    for _ in range(6):
        built.step()
        scheduler.step()
        assert {key: built.param_groups[0].get(key) for key in before} == before


@pytest.mark.parametrize("name", [*SCHEDULERS, None])
def test_a_schedule_goes_on_from_its_saved_state(name):
    config = SchedulerConfig(name, step_size=2) if name else None
    undisturbed = sequence(config, 5, 3)
    optimizer = optimizer_at(0.1)
    scheduler = build_scheduler(config, optimizer, 5, 3)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    optimizer_state, scheduler_state = torch.load(file, weights_only=True)
    optimizer = optimizer_at(0.1)
    scheduler = build_scheduler(config, optimizer, 5, 3)
    optimizer.load_state_dict(optimizer_state)
    scheduler.load_state_dict(scheduler_state)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == undisturbed[7:]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_steps_on_matrices_and_vectors(name):
    network = torch.nn.Linear(2, 3)
    optimizer = build_optimizer(OptimizerConfig(name, lr=0.01), network.parameters())
    assert type(optimizer) is getattr(torch.optim, name)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    network(torch.ones(4, 2)).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))


def test_an_optimiser_gets_what_it_takes_and_no_more():
    config = OptimizerConfig("sgd", lr=0.2, momentum=0.8, weight_decay=0.01, nesterov=True)
    group = build_optimizer(config, parameters()).param_groups[0]
    assert [group[key] for key in ("lr", "momentum", "weight_decay", "nesterov")] == [0.2, 0.8, 0.01, True]
    config = OptimizerConfig("NAdam", lr=0.2, momentum=0.8, weight_decay=0.01)
    group = build_optimizer(config, parameters()).param_groups[0]
    default = torch.optim.NAdam(parameters()).param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.2, 0.01, default["betas"])
    assert optimizer_options("RMSprop") == {"lr", "momentum", "weight_decay"}
    assert optimizer_options("Rprop") == {"lr"}


def test_nesterov_without_momentum_is_plain_descent():
    optimizer = build_optimizer(OptimizerConfig(momentum=0.0), parameters())
    assert optimizer.param_groups[0]["nesterov"] is False


def test_unknown_and_unsuitable_names_are_refused():
    with pytest.raises(UserError, match="did you mean AdamW"):
        build_optimizer(OptimizerConfig("AdanW"), parameters())
    with pytest.raises(UserError, match="sparse gradients"):
        build_optimizer(OptimizerConfig("sparseadam"), parameters())
    with pytest.raises(UserError, match="optimizer SGD refuses"):
        build_optimizer(OptimizerConfig(lr=-1.0), parameters())
    with pytest.raises(UserError, match="did you mean StepLR"):
        build_scheduler(SchedulerConfig("StopLR"), optimizer_at(0.1), 1, 1)
    with pytest.raises(UserError, match="scheduler ConstantLR refuses"):
        build_scheduler(SchedulerConfig("ConstantLR", gamma=2.0), optimizer_at(0.1), 1, 1)
    with pytest.raises(ValueError, match="at least one step"):
        build_scheduler(SchedulerConfig(), optimizer_at(0.1), 1, 0)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize(("option", "other"), [("min_lr", 0.03), ("gamma", 0.25), ("step_size", 1)])
def test_a_schedule_uses_what_it_says_it_uses(name, option, other):
    plain = sequence(SchedulerConfig(name, step_size=2), 4, 3)
    values = {"step_size": 2, option: other}
    changed = sequence(SchedulerConfig(name, **values), 4, 3)
    assert (plain != changed) == (option in scheduler_options(name))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_step_in_one_pass_is_the_plain_step(name):
    fast, plain = (torch.nn.Linear(4, 3, dtype=torch.float64) for _ in range(2))
    plain.load_state_dict(fast.state_dict())
    config = OptimizerConfig(name, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    options = {key: getattr(config, key) for key in optimizer_options(name)}
    steps = [
        build_optimizer(config, fast.parameters()),
        getattr(torch.optim, name)(plain.parameters(), **options, foreach=False, fused=False),
    ]
    assert steps[0].param_groups[0]["fused"]
    for seed in range(5):
        x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for network, optimizer in zip((fast, plain), steps, strict=True):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(fast.weight, plain.weight, rtol=1e-12, atol=1e-12)
