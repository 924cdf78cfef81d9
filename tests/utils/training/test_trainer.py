"""The training loop: what it computes, that it can be stopped anywhere, and that it says what went wrong."""

from __future__ import annotations

import copy
import dataclasses
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_data import make_data

import nets
from utils.config import OptimizerConfig, SchedulerConfig, TrainingConfig
from utils.data.batches import Batches
from utils.data.load import Data
from utils.data.training_set import TrainingSet
from utils.errors import DivergedError, UserError
from utils.execution import ExecutionConfig
from utils.seeding import derive_seed
from utils.training.checkpoint import load_checkpoint
from utils.training.machine import Machine
from utils.training.optimizers import build_optimizer, build_scheduler
from utils.training.trainer import Training, TrainingResult
from utils.training.training_trace import TrainingTrace

CPU = torch.device("cpu")
CONFIG = TrainingConfig(epochs=3, batch=16, optimizer=OptimizerConfig(lr=0.05), scheduler=SchedulerConfig())


class Counter:
    """An observer that counts how often each position was seen."""

    def __init__(self, n: int) -> None:
        self.seen = torch.zeros(n, dtype=torch.int64)

    def measure(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert logits.shape == (len(labels), 3)
        return labels[:, None]

    def observe(self, epoch: int, positions: torch.Tensor, measured: torch.Tensor) -> None:
        assert (self.seen[positions] == epoch).all()
        assert torch.equal(measured[:, 0], positions % 3)  # the labels of make_data
        self.seen[positions] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def network(name: str = "MLP") -> nets.Network:
    torch.manual_seed(0)
    return nets.build(name, 1, 3, 8)


def training(model: torch.nn.Module, config: TrainingConfig = CONFIG, **options: Any) -> Training:
    data = options.pop("data", None) or make_data()
    training_set = TrainingSet(data, options.pop("indices", data.pool), options.pop("weights", None))
    machine = Machine(CPU, ExecutionConfig(checkpoint_interval=options.pop("checkpoint_interval", 10.0)))
    return Training(model, training_set, config, seed=1, purpose="test", label="test", machine=machine, **options)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def losses(config: TrainingConfig, data: Data) -> list[float]:
    return [epoch.train_loss for epoch in training(network(), config, data=data).run().history]


@pytest.mark.parametrize("name", ["crop_flip", "resized_crop_flip"])
def test_an_augmentation_asked_for_acts_as_a_data_sets_own(name):
    data = make_data()
    own = dataclasses.replace(data, spec=dataclasses.replace(data.spec, augmentation=name))
    asked = dataclasses.replace(CONFIG, augmentation=f"random_{name}")
    assert losses(asked, data) == losses(CONFIG, own) == losses(asked, own)
    assert losses(asked, data) != losses(CONFIG, data)


def test_what_earlier_runs_recorded_of_augmentation_means_what_it_meant():
    """An ImageFolder's ``standard`` was none, and ``crop_flip`` two siamese families."""
    data = make_data()
    assert losses(CONFIG, data) == losses(dataclasses.replace(CONFIG, augment=False), data)
    siamese = training(network(), dataclasses.replace(CONFIG, augmentation="crop_flip"), data=data).siamese
    assert siamese is not None
    assert siamese.families == ("crop", "flip")


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_textbook_loop(weighted):
    data = make_data()
    weights = torch.rand(60, generator=torch.Generator().manual_seed(3)) if weighted else None
    trained, literal = network(), network()
    outcome = training(trained, data=data, weights=weights).run()

    optimizer = build_optimizer(CONFIG.optimizer, literal.parameters())
    scheduler = build_scheduler(CONFIG.scheduler, optimizer, 3, 4)
    for epoch in range(3):
        seed = derive_seed(1, "test", "order", epoch)
        for batch in Batches(data.train, data.spec, data.pool, 16, device=CPU, shuffle_seed=seed, weights=weights):
            losses = F.cross_entropy(literal(batch.x), batch.y, reduction="none")
            loss = losses.mean() if weights is None else (losses * batch.weight).sum() / batch.weight.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    for a, b in zip(trained.parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    literal.eval()
    x = next(iter(Batches(data.test, data.spec, torch.arange(30), 30, device=CPU)))
    right = (literal(x.x).argmax(1) == x.y).float().mean().item()
    assert outcome.history[-1].test_accuracy == pytest.approx(100 * right)
    assert outcome.steps == 12
    assert [row.epoch for row in outcome.history] == [1, 2, 3]


def test_the_schedule_starts_at_lr_and_its_last_step_is_at_min_lr():
    config = dataclasses.replace(CONFIG, epochs=5, batch=60)
    history = training(network(), config).run().history
    assert history[0].lr == pytest.approx(0.05)
    assert history[-1].lr == pytest.approx(CONFIG.scheduler.min_lr)


def test_the_observer_sees_every_image_once_an_epoch():
    counter = Counter(60)
    training(network(), observer=counter).run()
    assert (counter.seen == 3).all()


@pytest.mark.parametrize(("interval", "tested"), [(1, [1, 2, 3]), (2, [2, 3]), (0, [3]), (3, [3])])
def test_it_tests_where_asked_and_always_at_the_end(interval, tested):
    history = training(network(), dataclasses.replace(CONFIG, test_interval=interval)).run().history
    assert [row.epoch for row in history if row.test_accuracy is not None] == tested


def test_testing_changes_nothing():
    often, never = network("ConvNet"), network("ConvNet")
    training(often, dataclasses.replace(CONFIG, test_interval=1)).run()
    training(never, dataclasses.replace(CONFIG, test_interval=0, test_fraction=0.5)).run()
    assert same(often, never)


class StopError(Exception):
    """What a kill at one step looks like from inside."""


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, error: type[BaseException] | None) -> None:
    """From now on the step after ``steps`` raises ``error``, or sends this process a SIGTERM."""
    original, done = Training._step, [0]

    def step(self: Training, batch: Any) -> None:
        if done[0] == steps and error is not None:
            raise error
        original(self, batch)
        done[0] += 1
        if done[0] == steps and error is None:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Training, "_step", step)


@pytest.mark.parametrize(("name", "steps"), [*(("ConvNet", steps) for steps in (1, 3, 4, 5, 11)), ("ResNet18", 5)])
@pytest.mark.parametrize("error", [StopError, None], ids=["killed", "SIGTERM"])
def test_stopped_at_any_step_it_ends_as_if_undisturbed(tmp_path, monkeypatch, name, steps, error):
    config = dataclasses.replace(CONFIG, test_interval=1)
    undisturbed, watched = network(name), TrainingTrace(60, 3)
    expected = training(undisturbed, config, observer=watched).run()
    options = {"checkpoint": tmp_path / "c.pt", "checkpoint_interval": 0.0}
    with monkeypatch.context() as patch:
        stop_after(patch, steps, error)
        with pytest.raises(error or KeyboardInterrupt):
            training(network(name), config, observer=TrainingTrace(60, 3), **options).run()
    torch.manual_seed(999)  # another process stands elsewhere in its random numbers
    resumed, trace = nets.build(name, 1, 3, 8), TrainingTrace(60, 3)
    outcome = training(resumed, config, observer=trace, **options).run()
    assert same(resumed, undisturbed)
    assert outcome.history == expected.history
    assert torch.equal(trace.rows, watched.rows)


def test_dropout_goes_on_where_it_stood(tmp_path, monkeypatch):
    def dropped() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 3))

    undisturbed = dropped()
    training(undisturbed).run()
    with monkeypatch.context() as patch:
        stop_after(patch, 6, StopError)
        with pytest.raises(StopError):
            training(dropped(), checkpoint=tmp_path / "c.pt", checkpoint_interval=0.0).run()
    torch.manual_seed(5)
    resumed = dropped()
    training(resumed, checkpoint=tmp_path / "c.pt", checkpoint_interval=0.0).run()
    assert same(resumed, undisturbed)


def test_a_checkpoint_of_another_training_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2, StopError)
        with pytest.raises(StopError):
            training(network(), checkpoint=tmp_path / "c.pt", checkpoint_interval=0.0).run()
    assert load_checkpoint(tmp_path / "c.pt", "cpu") is not None
    with pytest.raises(UserError, match="not of this training"):
        training(network("ConvNet"), checkpoint=tmp_path / "c.pt").run()


def test_a_loss_that_is_no_number_stops_it_with_epoch_and_lr():
    config = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(lr=1e30))
    with pytest.raises(DivergedError, match=r"epoch \d at lr 1e\+30; try a smaller --lr"):
        training(network(), config).run()


@pytest.mark.parametrize("name", ["MLP", "ConvNet", "ResNet18"])
def test_a_last_batch_of_one_and_a_set_of_one(name):
    for indices in (torch.arange(17), torch.tensor([4])):
        outcome = training(network(name), indices=indices).run()
        assert math.isfinite(outcome.history[-1].train_loss)


def test_weights_that_are_all_zero_in_a_batch_do_not_harm():
    weights = torch.zeros(60)
    weights[0] = 1.0
    assert isinstance(training(network(), weights=weights).run(), TrainingResult)


def test_bfloat16_trains_close_to_float32():
    exact, rounded = network(), network()
    a = training(exact, dataclasses.replace(CONFIG, epochs=10)).run()
    b = training(rounded, dataclasses.replace(CONFIG, epochs=10, amp=True)).run()
    assert not same(exact, rounded)
    assert abs(a.history[-1].train_loss - b.history[-1].train_loss) < 0.1


def test_the_given_network_is_trained_in_place_and_the_task_untouched():
    data, model = make_data(), network()
    before = copy.deepcopy(model)
    images = data.train.images.clone()
    training(model, data=data).run()
    assert not same(model, before)
    assert torch.equal(data.train.images, images)


def test_history_is_written_whenever_a_checkpoint_is(tmp_path: Path):
    rows: list[int] = []
    training(
        network(), checkpoint=tmp_path / "c.pt", checkpoint_interval=0.0, on_history=lambda h: rows.append(len(h))
    ).run()
    assert rows == [0] * 4 + [1] * 4 + [2] * 4
