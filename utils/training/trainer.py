"""One training of one network: the same loop for proxies, coresets and condensed sets.

It can be stopped after any step and continued, and then ends bit for bit (on a CPU) where an undisturbed one
would have: every epoch's order and augmentation derive from the seed, and a checkpoint holds the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.config import TrainingConfig
from utils.data.augmentation import RECORDED
from utils.data.batches import Batch, Batches
from utils.data.siamese import Siamese
from utils.data.training_set import TrainingSet
from utils.device import (
    autocast,
    compute_deterministically,
    full_precision,
    is_of_the_device,
    memory_layout,
    random_state,
    restore_random_state,
)
from utils.errors import DivergedError, UserError
from utils.seeding import derive_seed, seed_torch
from utils.threads import small_training
from utils.training.checkpoint import Checkpoint
from utils.training.compilation import compilation, compiled
from utils.training.evaluation import TEST_BATCH, Evaluation, evaluate, test_indices, with_batches_that_fit
from utils.training.history import Epoch
from utils.training.interrupt import held_back
from utils.training.machine import Machine
from utils.training.optimizers import build_optimizer, build_scheduler, lay_out_as_parameters
from utils.training.profiling import profiled
from utils.training.progress import Progress

_STEPS_BETWEEN_EXCHANGES = 32  # of what several ranks saw; checkpoints are written then


class Observer(Protocol):
    """Watches every training batch, e.g. to trace losses and margins; its state goes into checkpoints."""

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what to take note of, floating [b, k], of one rank's logits [b, C] and labels int64 [b]."""

    def observe(self, epoch: int, positions: Tensor, measured: Tensor) -> None:
        """Take note of what all ranks measured, [B, k], at positions int64 [B] in the training indices."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that was observed."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to: one row an epoch, its steps, its speed without the tests, and the last test."""

    history: tuple[Epoch, ...]
    steps: int
    seconds: float
    images_per_second: float
    test: Evaluation | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingResult:
        """Return what ``dataclasses.asdict`` gave. Raises TypeError, ValueError or LookupError."""
        history = tuple(Epoch(**row) for row in values["history"])
        return cls(**{**values, "history": history, "test": _evaluation(values.get("test"))})


@dataclass
class _Tally:
    """Sums over the current epoch, kept on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def empty(cls, device: torch.device) -> _Tally:
        return cls(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))

    def means(self) -> tuple[float, float]:
        """Return mean loss and accuracy in percent; the host waits for all queued work, once."""
        loss, correct = torch.stack((self.loss.double(), self.correct.double())).tolist()
        return loss / self.images, 100 * correct / self.images


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one rank saw of a step of B images, b of them its own.

    Attributes:
        position: int64 [B] in the training indices.
        loss: as ``Training._mean`` gives it.
        correct: int64, how many of its own images.
        measured: of its own images, [b, k], or None where nothing observes.
    """

    position: Tensor
    loss: Tensor
    correct: Tensor
    measured: Tensor | None


@dataclass
class _Position:
    """How far a training is."""

    epoch: int = 0
    step: int = 0  # within the epoch
    lr: float = 0.0  # of the epoch's first step
    training_seconds: float = 0.0
    testing_seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    test: Evaluation | None = None  # the last

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> _Position:
        history = [Epoch(**row) for row in values["history"]]
        return cls(**{**values, "history": history, "test": _evaluation(values.get("test"))})


def _evaluation(values: Mapping[str, Any] | None) -> Evaluation | None:
    return None if values is None else Evaluation(**values)


class Training:
    """One training of ``network``, in place.

    Args:
        purpose: with the seed it names the random numbers: order, augmentation, dropout.
        label: what progress and errors call this training.
        checkpoint: file that the state is kept in, or None.
        on_history: called with the epochs so far whenever a checkpoint is written.
        profile: file for a trace of a few steps, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        training_set: TrainingSet,
        config: TrainingConfig,
        *,
        seed: int,
        purpose: str,
        label: str,
        machine: Machine,
        observer: Observer | None = None,
        checkpoint: Path | None = None,
        on_history: Callable[[tuple[Epoch, ...]], None] | None = None,
        profile: Path | None = None,
    ) -> None:
        self.training_set, self.config, self.seed, self.purpose, self.label = training_set, config, seed, purpose, label
        self.machine, self.observer, self.on_history, self.profile = machine, observer, on_history, profile
        self.device, self.world = machine.device, machine.world
        if config.deterministic:
            compute_deterministically()
        self.checkpoint = Checkpoint(checkpoint, machine.execution.checkpoint_interval, machine.world)
        plain = RECORDED.get(config.augmentation)
        self.siamese = Siamese.of(config.augmentation) if config.augmentation and plain is None else None
        spec = training_set.data.spec
        self.spec = spec if plain is None else replace(spec, augmentation=plain)
        self.network = network.to(self.device, memory_format=memory_layout(self.device))  # type: ignore[call-overload]
        forward = self.world.data_parallel(self.network)
        batch = self.world.shard(min(config.batch, len(training_set.indices)))
        self.forward: Callable[[Tensor], Tensor] = (
            compiled(forward, self.device, batch.stop - batch.start) if config.compile else forward
        )
        self.weights = None if training_set.weights is None else training_set.weights.to(self.device)
        self.train_images = machine.hold(training_set.data.train)
        self.test_images = machine.hold(training_set.data.test)
        self.steps_per_epoch = len(self._batches(0))
        self.parameters = tuple(self.network.parameters())
        self.optimizer = build_optimizer(config.optimizer, self.parameters)
        self.scheduler = build_scheduler(config.scheduler, self.optimizer, config.epochs, self.steps_per_epoch)
        self.position, self.tally = _Position(), _Tally.empty(self.device)
        self.seen: list[_Seen] = []  # since the last exchange

    def run(self) -> TrainingResult:
        """Train from the checkpoint, or from the start, to the end.

        Raises:
            DivergedError: the loss became NaN or infinite.
            UserError: the network cannot be compiled.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; the checkpoint holds everything up to then.
        """
        self._resume()
        total = self.config.epochs * self.steps_per_epoch
        done = self.position.epoch * self.steps_per_epoch + self.position.step
        spec, batch = self.spec, min(self.config.batch, len(self.training_set.indices))
        with (
            small_training(self.network, (batch, spec.channels, spec.im_size, spec.im_size)),
            Progress(self.label, total, self.machine.execution.print_freq, done) as progress,
            profiled(self.profile, self.device, total - done) as self.profiler,
            compilation(self.config.compile),
        ):
            while self.position.epoch < self.config.epochs:
                self._epoch(progress)
        images = self.config.epochs * len(self.training_set.indices)
        training, testing = self.position.training_seconds, self.position.testing_seconds
        speed = images / max(training, 1e-9)
        return TrainingResult(tuple(self.position.history), total, training + testing, speed, self.position.test)

    def _epoch(self, progress: Progress) -> None:
        position = self.position
        if position.step == 0:
            self.tally = _Tally.empty(self.device)
            seed_torch(self.seed, self.purpose, "epoch", position.epoch, *self.world.purpose)
            position.lr = float(self.optimizer.param_groups[0]["lr"])
        started = time.monotonic()
        self.network.train()
        with held_back() as interruption:
            for number, batch in enumerate(self._batches(position.epoch)):
                if number < position.step:
                    continue
                self._step(batch)
                position.step += 1
                progress.step()
                self.profiler.step()
                if not self._exchange_is_due():
                    continue
                self._exchange()
                if interruption or self.checkpoint.due:
                    position.training_seconds += time.monotonic() - started
                    started = time.monotonic()
                    self._save()
                    interruption.act()
            if interruption:
                self._save()
        loss, accuracy = self.tally.means()
        position.training_seconds += time.monotonic() - started
        started = time.monotonic()
        self._close_epoch(progress, loss, accuracy)
        position.testing_seconds += time.monotonic() - started

    def _step(self, batch: Batch) -> None:
        for parameter in self.parameters:  # as zero_grad does, in a tenth of the time
            parameter.grad = None
        with autocast(self.device, self.config.amp):
            logits = self.forward(batch.x)
        losses = F.cross_entropy(full_precision(logits), batch.y, reduction="none")  # [b]
        loss = self._mean(losses, batch)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        correct = (logits.detach().argmax(dim=1) == batch.y).sum()
        measured = None if self.observer is None else self.observer.measure(logits, batch.y)  # [b, k]
        self.seen.append(_Seen(batch.position, loss.detach(), correct, measured))

    def _exchange_is_due(self) -> bool:
        step = self.position.step
        return self.world.size == 1 or step % _STEPS_BETWEEN_EXCHANGES == 0 or step == self.steps_per_epoch

    def _exchange(self) -> None:
        """Add up and observe what all ranks saw since the last time."""
        seen, self.seen = self.seen, []
        losses = self.world.all_reduce_each([step.loss for step in seen])
        corrects = self.world.all_reduce_each([step.correct for step in seen])
        for step, loss, correct in zip(seen, losses, corrects, strict=True):
            self.tally.loss.add_(loss, alpha=len(step.position) / self.world.size)
            self.tally.correct += correct
            self.tally.images += len(step.position)
        if self.observer is None:
            return
        own = [step.measured for step in seen if step.measured is not None]
        of_all = self.world.all_gather_each(own, [len(step.position) for step in seen])
        for step, measured in zip(seen, of_all, strict=True):
            self.observer.observe(self.position.epoch, step.position, measured)  # [B, k]

    def _mean(self, losses: Tensor, batch: Batch) -> Tensor:
        """Return the mean of a batch's losses; with weights Σ wℓ / Σ w, 0 where every weight is 0.

        A rank of several has some of them, [b]: it sums over those, times the number of ranks, so that the mean
        over the ranks, which is taken of the gradients, is the mean of the batch.
        """
        if batch.weight is None or self.weights is None:
            return losses.sum() / (len(batch.position) / self.world.size)
        weights = self.weights[batch.position]  # [B]
        total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        return (losses * batch.weight).sum() / (total / self.world.size)

    def _close_epoch(self, progress: Progress, loss: float, accuracy: float) -> None:
        position = self.position
        self._check("training", loss)
        self.world.broadcast_buffers(self.network)
        try:
            test = self._test() if self._tests(position.epoch + 1) else None
        except KeyboardInterrupt:
            self._save()
            raise
        if test is not None:
            self._check("test", test.loss)
            position.test = test
        position.epoch, position.step = position.epoch + 1, 0
        tested = (None, None) if test is None else (test.loss, test.accuracy)
        position.history.append(Epoch(position.epoch, position.lr, loss, accuracy, *tested))
        if test is not None:
            progress.describe(f"loss {loss:.3f}, test accuracy {test.accuracy:.2f} %")
        else:
            progress.describe(f"loss {loss:.3f}, training accuracy {accuracy:.2f} %")

    def _check(self, kind: str, loss: float) -> None:
        """Refuse a loss that is no number; the state that gave it is worth no checkpoint."""
        if math.isfinite(loss):
            return
        self.checkpoint.remove()
        raise DivergedError(
            f"{self.label}: the {kind} loss became {loss} in epoch {self.position.epoch + 1} "
            f"at lr {self.position.lr:g}; try a smaller --lr (for the proxy --selection_lr)"
        )

    def _tests(self, epochs_done: int) -> bool:
        interval = self.config.test_interval
        return epochs_done == self.config.epochs or (interval > 0 and epochs_done % interval == 0)

    def _test(self) -> Evaluation:
        indices = test_indices(len(self.test_images), self.config.test_fraction, self.seed)
        batches = Batches(
            self.test_images,
            self.training_set.data.spec,
            indices,
            TEST_BATCH,
            device=self.device,
            workers=self.machine.execution.workers,
            world=self.world,
        )
        return with_batches_that_fit(lambda fit: evaluate(self.network, fit, self.config.amp, self.world), batches)

    def _batches(self, epoch: int) -> Batches:
        return Batches(
            self.train_images,
            self.spec,
            self.training_set.indices,
            self.config.batch,
            device=self.device,
            shuffle_seed=derive_seed(self.seed, self.purpose, "order", epoch),
            augment=self.config.augment and self.siamese is None,
            siamese=self.siamese,
            weights=self.training_set.weights,
            workers=self.machine.execution.workers,
            world=self.world,
        )

    def _save(self) -> None:
        if not self.checkpoint.kept:
            return
        position, tally = self.position, self.tally
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "position": asdict(position),
            "tally": (tally.loss, tally.correct, tally.images),
            "random": random_state(self.device),
            "observer": None if self.observer is None else self.observer.state_dict(),
        }
        self.checkpoint.save(state)
        if self.on_history is not None:
            self.on_history(tuple(position.history))

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        try:
            self._restore(state)
        except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
            if is_of_the_device(error):
                raise
            raise UserError(f"{self.checkpoint.path} is not of this training ({error}); remove it") from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        lay_out_as_parameters(self.optimizer)
        self.scheduler.load_state_dict(state["scheduler"])
        self.position = _Position.from_dict(state["position"])
        if not (0 <= self.position.epoch <= self.config.epochs and 0 <= self.position.step <= self.steps_per_epoch):
            raise ValueError(f"it stands at step {self.position.step} of epoch {self.position.epoch}")
        loss, correct, images = state["tally"]
        self.tally = _Tally(loss.to(self.device), correct.to(self.device), images)
        if self.observer is not None:
            self.observer.load_state_dict(state["observer"])
        restore_random_state(state["random"], self.device)
