"""One condensation from its first pixels to its last: networks come and go, the pixels stay.

It can be stopped after any pixel step and continued, and then ends bit for bit (on a CPU) where an undisturbed one
would have: what is drawn derives from the seed and the step, and a checkpoint holds the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from condensation.config import CondensationConfig
from condensation.distribution_matching import DistributionMatching
from condensation.gradient_matching import GradientMatching
from condensation.inner_networks import BATCH, fix_statistics, fresh_network, has_batch_norm, train_on
from condensation.objective import Terms
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages
from nets import Network
from utils.data.batches import Normaliser
from utils.data.load import Data
from utils.data.siamese import Siamese
from utils.data.synthetic_set import SyntheticSet
from utils.device import compute_deterministically, forget_peak_memory, full_float32, is_of_the_device, moved
from utils.errors import DivergedError, UserError
from utils.seeding import generator
from utils.training.checkpoint import Checkpoint
from utils.training.compilation import compilation, compiled
from utils.training.interrupt import held_back
from utils.training.machine import Machine
from utils.training.progress import Progress

_MOMENTUM = 0.5  # of the pixels
_STATISTICS = 16  # real images of each class that batch normalisation is fixed by


class Method(Protocol):
    """What moves the pixels."""

    def step(self, network: Network, pixels: Tensor, streams: RandomStreams) -> tuple[Tensor, Terms]:
        """Return the gradient with respect to all pixels, and the objective's terms."""


@dataclass(frozen=True)
class Iteration:
    """One row of the history: means over the iteration's steps and the classes.

    ``loss`` is the two terms' sum, and ``share`` the part of the pixels' gradient that is the curvature term's.
    """

    iteration: int
    loss: float
    matching: float
    curvature: float
    share: float = 0.0


@dataclass(frozen=True, eq=False)
class Learned:
    """What a condensation came to, and the seconds that it took."""

    synthetic: SyntheticSet
    history: tuple[Iteration, ...]
    seconds: float


OnProgress = Callable[[SyntheticSet, Sequence[Iteration], tuple[str, ...]], None]


@dataclass
class _Position:
    """How far a condensation is; the sums are over the steps of the current iteration."""

    iteration: int = 0
    step: int = 0
    matching: float = 0.0
    curvature: float = 0.0
    share: float = 0.0
    seconds: float = 0.0
    history: list[Iteration] = field(default_factory=list)


class Condensation:
    """Learns a synthetic set of ``config.ipc`` images of each class of ``data``.

    Args:
        checkpoint: file that the state is kept in, or None.
        on_progress: called with the set, the iterations so far and the names of the classes whenever a checkpoint is
            due, and at the end.

    Raises:
        UserError: a class has fewer images than it is to start from.
    """

    def __init__(
        self,
        config: CondensationConfig,
        data: Data,
        machine: Machine,
        checkpoint: Path | None,
        on_progress: OnProgress,
    ) -> None:
        self.config, self.spec, self.on_progress = config, data.spec, on_progress
        self.device, self.execution = machine.device, machine.execution
        if config.deterministic:
            compute_deterministically()
        self.checkpoint = Checkpoint(checkpoint, self.execution.checkpoint_interval)
        self.images = RealImages(data, machine)
        self.method: Method = (DistributionMatching if config.method == "DM" else GradientMatching)(config, self.images)
        self.siamese = Siamese.of(config.strategy)
        self.labels = moved(torch.arange(data.spec.num_classes).repeat_interleave(config.ipc), self.device)  # [m]
        self.pixels = self._first_pixels()
        self.optimizer = torch.optim.SGD([self.pixels], lr=config.pixel_lr, momentum=_MOMENTUM)
        self.position = _Position()
        self.network: Network | None = None  # none at the start of an iteration
        self.compiled: tuple[Network, Callable[[Tensor], Tensor]] | None = None  # which all iterations share

    def run(self) -> Learned:
        """Condense from the checkpoint, or from the start, to the end.

        Raises:
            DivergedError: the objective or a pixel became NaN or infinite.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; the checkpoint holds everything up to then.
            UserError: the network cannot be compiled.
        """
        forget_peak_memory(self.device)
        self._resume()
        config, position = self.config, self.position
        label = f"{config.label}, {config.ipc} images per class"
        started = time.monotonic()
        progress = Progress(label, config.iterations, self.execution.print_freq, position.iteration)
        with progress, full_float32(), compilation(bool(config.compile_inner)), held_back() as interruption:
            while position.iteration < config.iterations:
                self._step(progress)
                now = time.monotonic()
                position.seconds, started = position.seconds + now - started, now
                if interruption or self.checkpoint.due:
                    self._save()
                    interruption.act()
                    started = time.monotonic()
        synthetic = self.synthetic()
        self.on_progress(synthetic, position.history, self.spec.class_names)
        return Learned(synthetic, tuple(position.history), position.seconds)

    def synthetic(self) -> SyntheticSet:
        """Return the set as it is now."""
        images = Normaliser(self.spec, self.device).undo(self.pixels.detach())
        made_by, made_of = self.config.selection(), self.config.data.train_images
        return SyntheticSet(images.cpu().numpy(), self.labels.cpu().numpy(), made_by, made_of)

    def _first_pixels(self) -> Tensor:
        """Return the pixels to start from, float32 [m, C, H, W], normalised, class after class."""
        config, spec = self.config, self.spec
        draws = generator(config.seed, "condensation start")
        if config.init == "noise":
            noise = torch.randn(len(self.labels), spec.channels, spec.im_size, spec.im_size, generator=draws)
            return noise.to(self.device)
        self.images.check_holds(config.ipc)
        return torch.cat(self.images.batches(range(spec.num_classes), config.ipc, draws))

    def _step(self, progress: Progress) -> None:
        """Move the pixels once, and do what it takes to come to the next step."""
        config, position = self.config, self.position
        streams, classes = RandomStreams(config.seed, position.iteration, position.step), range(self.spec.num_classes)
        if self.network is None:
            self.network = self._fresh_network(streams)
        if has_batch_norm(self.network):
            draws = streams.generator("statistics")
            fix_statistics(self.network, torch.cat(self.images.batches(classes, _STATISTICS, draws)))
        self.pixels.grad, terms = self.method.step(self.network, self.pixels, streams)
        self.optimizer.step()
        finite = self.pixels.isfinite().all().to(terms.matching)
        read = torch.stack((terms.matching, terms.curvature, terms.share, finite)).tolist()  # all that is waited for
        position.matching, position.curvature = position.matching + read[0], position.curvature + read[1]
        position.share += read[2]
        if not (math.isfinite(position.matching + position.curvature) and read[3]):
            raise DivergedError(
                f"{config.name()}: the pixels diverged in iteration {position.iteration + 1}; try a smaller --pixel_lr"
            )
        position.step += 1
        if position.step < config.outer:
            forward = self.network if self.compiled is None else self.compiled[1]
            train_on(self.network, forward, self.pixels.detach(), self.labels, config.inner, self.siamese, streams)
        else:
            self._close_iteration(progress)

    def _fresh_network(self, streams: RandomStreams) -> Network:
        """Return a newly drawn network; one that is compiled is drawn into, since a graph is of a network's memory."""
        network = fresh_network(self.config.model, self.spec, streams, self.device)
        if not self.config.compile_inner:
            return network
        if self.compiled is None:
            self.compiled = network, compiled(network, self.device, min(BATCH, len(self.labels)))
        else:
            self.compiled[0].load_state_dict(network.state_dict())
        return self.compiled[0]

    def _close_iteration(self, progress: Progress) -> None:
        config, position = self.config, self.position
        count = config.outer * self.spec.num_classes
        matching, curvature = position.matching / count, position.curvature / count
        loss, share = matching + (config.rho or 0) / 2 * curvature, position.share / count
        row = Iteration(position.iteration + 1, loss, matching, curvature, share)
        position.history.append(row)
        position.iteration, position.step = row.iteration, 0
        position.matching, position.curvature, position.share = 0.0, 0.0, 0.0
        self.network = None
        progress.describe(f"loss {loss:.4g}" + (f", curvature's share {share:.1%}" if config.curvature_acts else ""))
        progress.step()

    def _save(self) -> None:
        if not self.checkpoint.kept:
            return
        state = {
            "pixels": self.pixels,
            "optimizer": self.optimizer.state_dict(),
            "network": None if self.network is None else self.network.state_dict(),
            "position": asdict(self.position),
        }
        self.checkpoint.save(state)
        self.on_progress(self.synthetic(), self.position.history, self.spec.class_names)

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            if is_of_the_device(error):
                raise
            raise UserError(f"{self.checkpoint.path} is not of this condensation ({error}); remove it") from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.pixels.copy_(state["pixels"])
        self.optimizer.load_state_dict(state["optimizer"])
        position = state["position"]
        self.position = _Position(**{**position, "history": [Iteration(**row) for row in position["history"]]})
        if state["network"] is not None:
            streams = RandomStreams(self.config.seed, self.position.iteration, 0)
            self.network = self._fresh_network(streams)
            self.network.load_state_dict(state["network"])
