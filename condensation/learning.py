"""One condensation from its first pixels to its last: networks come and go, the pixels stay.

It can be stopped after any pixel step and continued, and then ends bit for bit (on a CPU) where an undisturbed one
would have: what is drawn derives from the seed and the step, and a checkpoint holds the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from condensation.config import CondensationConfig
from condensation.distribution_matching import DistributionMatching
from condensation.gradient_matching import GradientMatching
from condensation.inner_networks import fix_statistics, fresh_network, has_batch_norm, train_on
from condensation.objective import Terms
from condensation.random_streams import Moment
from condensation.real_batches import RealImages
from nets import Network
from utils.data.batches import Normaliser
from utils.data.load import Data
from utils.data.siamese import Siamese
from utils.data.synthetic_set import Synthetic
from utils.device import finish_queued_work
from utils.errors import UserError
from utils.seeding import generator
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.interrupt import held_back
from utils.training.progress import Progress
from utils.training.task import Machine
from utils.training.trainer import DivergedError

_MOMENTUM = 0.5  # of the pixels
_STATISTICS = 16  # real images of each class that batch normalisation is fixed by


class Method(Protocol):
    """What moves the pixels."""

    def step(self, network: Network, pixels: Tensor, moment: Moment) -> tuple[Tensor, Terms]:
        """The gradient with respect to all pixels, and the objective's terms."""


@dataclass(frozen=True)
class Iteration:
    """One row of the history: means over the iteration's steps and the classes; ``loss`` is what was minimised."""

    iteration: int
    loss: float
    matching: float
    curvature: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a condensation came to, and the seconds that it took."""

    synthetic: Synthetic
    history: tuple[Iteration, ...]
    seconds: float


OnProgress = Callable[[Synthetic, Sequence[Iteration]], None]


@dataclass
class _Position:
    """How far a condensation is; the sums are over the steps of the current iteration."""

    iteration: int = 0
    step: int = 0
    matching: float = 0.0
    curvature: float = 0.0
    seconds: float = 0.0
    history: list[Iteration] = field(default_factory=list)


class Condensation:
    """Learns a synthetic set of ``config.ipc`` images of each class of ``data``.

    Args:
        on_progress: called with the set and the iterations so far whenever a checkpoint is due, and at the end.

    Raises:
        UserError: a class has fewer images than it is to start from.
    """

    def __init__(self, config: CondensationConfig, data: Data, machine: Machine, on_progress: OnProgress) -> None:
        self.config, self.spec, self.machine, self.on_progress = config, data.spec, machine, on_progress
        self.device = machine.device
        self.images = RealImages(data, machine)
        self.method: Method = (DistributionMatching if config.method == "DM" else GradientMatching)(config, self.images)
        self.siamese = Siamese.of(config.strategy)
        self.labels = torch.arange(data.spec.num_classes).repeat_interleave(config.ipc)  # [m]
        self.pixels = self._first_pixels()
        self.optimizer = torch.optim.SGD([self.pixels], lr=config.pixel_lr, momentum=_MOMENTUM)
        self.position = _Position()
        self.network: Network | None = None  # none at the start of an iteration

    def run(self) -> Outcome:
        """Condense from the checkpoint, or from the start, to the end.

        Raises:
            DivergedError: the objective or a pixel became NaN or infinite.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; the checkpoint holds everything up to then.
        """
        self._resume()
        config, position = self.config, self.position
        label = f"{config.label}, {config.ipc} images per class"
        saved_at = started = time.monotonic()
        progress = Progress(label, config.iterations, self.machine.print_freq, position.iteration)
        with progress, held_back() as interruption:
            while position.iteration < config.iterations:
                self._step(progress)
                now = time.monotonic()
                position.seconds, started = position.seconds + now - started, now
                if interruption or now - saved_at >= self.machine.checkpoint_interval:
                    self._save()
                    interruption.act()
                    saved_at = started = time.monotonic()
        synthetic = self.synthetic()
        self.on_progress(synthetic, position.history)
        return Outcome(synthetic, tuple(position.history), position.seconds)

    def synthetic(self) -> Synthetic:
        """The set as it is now."""
        images = Normaliser(self.spec, self.device).undo(self.pixels.detach())
        return Synthetic(images.cpu().numpy(), self.labels.numpy(), self.config.label)

    def _first_pixels(self) -> Tensor:
        """float32 [m, C, H, W], normalised, class after class."""
        config, spec = self.config, self.spec
        draws = generator(config.seed, "condensation start")
        if config.init == "noise":
            noise = torch.randn(len(self.labels), spec.channels, spec.im_size, spec.im_size, generator=draws)
            return noise.to(self.device)
        self.images.check_holds(config.ipc)
        return torch.cat([self.images.batch(label, config.ipc, draws) for label in range(spec.num_classes)])

    def _step(self, progress: Progress) -> None:
        """One step of the pixels, and what it takes to come to the next."""
        config, position = self.config, self.position
        moment = Moment(config.seed, position.iteration, position.step)
        if self.network is None:
            self.network = fresh_network(config.model, self.spec, moment, self.device)
        if has_batch_norm(self.network):
            draws = moment.generator("statistics")
            batches = [self.images.batch(label, _STATISTICS, draws) for label in range(self.spec.num_classes)]
            fix_statistics(self.network, torch.cat(batches))
        self.pixels.grad, terms = self.method.step(self.network, self.pixels, moment)
        self.optimizer.step()
        position.matching += float(terms.matching)
        position.curvature += float(terms.curvature)
        if not (math.isfinite(position.matching + position.curvature) and bool(self.pixels.isfinite().all())):
            raise DivergedError(
                f"{config.name()}: the pixels diverged in iteration {position.iteration + 1}; try a smaller --pixel_lr"
            )
        position.step += 1
        if position.step < config.outer:
            labels = self.labels.to(self.device)
            train_on(self.network, self.pixels.detach(), labels, config.inner, self.siamese, moment)
        else:
            self._close_iteration(progress)
        finish_queued_work(self.device)

    def _close_iteration(self, progress: Progress) -> None:
        config, position = self.config, self.position
        count = config.outer * self.spec.num_classes
        matching, curvature = position.matching / count, position.curvature / count
        row = Iteration(position.iteration + 1, matching + (config.rho or 0) / 2 * curvature, matching, curvature)
        position.history.append(row)
        position.iteration, position.step, position.matching, position.curvature = row.iteration, 0, 0.0, 0.0
        self.network = None
        progress.describe(f"loss {row.loss:.4g}")
        progress.step()

    def _save(self) -> None:
        if self.machine.checkpoint is None:
            return
        state = {
            "pixels": self.pixels,
            "optimizer": self.optimizer.state_dict(),
            "network": None if self.network is None else self.network.state_dict(),
            "position": asdict(self.position),
        }
        save_checkpoint(self.machine.checkpoint, state)
        self.on_progress(self.synthetic(), self.position.history)

    def _resume(self) -> None:
        path = self.machine.checkpoint
        state = None if path is None else load_checkpoint(path, self.device)
        if state is None:
            return
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{path} is not of this condensation ({error}); remove it") from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.pixels.copy_(state["pixels"])
        self.optimizer.load_state_dict(state["optimizer"])
        position = state["position"]
        self.position = _Position(**{**position, "history": [Iteration(**row) for row in position["history"]]})
        if state["network"] is not None:
            moment = Moment(self.config.seed, self.position.iteration, 0)
            self.network = fresh_network(self.config.model, self.spec, moment, self.device)
            self.network.load_state_dict(state["network"])
