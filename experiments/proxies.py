"""The networks that a selection looks through: the proxy, and GraNd's independently seeded ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from experiments.features_by_class import has_batch_statistics
from experiments.phases import Phases
from experiments.proxy import Proxy, ProxyConfig, given_proxy, train_proxy
from utils.config import RunConfig
from utils.data.load import Data
from utils.errors import UserError
from utils.files import content_digest
from utils.training.machine import Machine
from utils.training.training_trace import TrainingTrace

_REPEATS = 10  # independently seeded networks that GraNd averages over


class Proxies:
    """The networks of one seed, each trained or read when it is first asked for.

    Args:
        run: whose selection looks through them.
        data: what they are trained on.
        machine: its execution says where proxies are cached, or which file holds a given one.
        phases: where their training is counted.
        beside: int64 [m] into ``data.train``, images that they are trained on beside the pool.
    """

    def __init__(
        self, run: RunConfig, data: Data, machine: Machine, phases: Phases, beside: Tensor | None = None
    ) -> None:
        self.run, self.config, self.data, self.machine, self.phases = run, run.selection, data, machine, phases
        self.trained_on = data if beside is None else replace(data, pool=torch.cat([data.pool, beside]))

    @cached_property
    def proxy(self) -> Proxy:
        """The network that features, scores and perturbations come from."""
        proxy, _ = self._trained
        if self.config.scoring == "class_batches" and not has_batch_statistics(proxy.network):
            model = proxy.config.model
            print(f"note: {model} has no batch statistics: class_batches equals evaluation", file=sys.stderr)
        return proxy

    @property
    def trace(self) -> TrainingTrace | None:
        """What the proxy's training said of each image of the pool; None where it was not trained."""
        proxy, trace = self._trained
        return trace if proxy.config.training.epochs else None

    def repeats(self) -> Iterator[Proxy]:
        """Yield the proxy, then networks trained alike from other seeds."""
        yield self.proxy
        for repeat in range(1, _REPEATS):
            proxy, _ = self._train(repeat)
            yield proxy

    @cached_property
    def _trained(self) -> tuple[Proxy, TrainingTrace]:
        return self._train(0)

    def _train(self, repeat: int) -> tuple[Proxy, TrainingTrace]:
        if self.config.model is None or self.config.proxy is None:
            raise UserError(f"{self.config.method} needs a trained network beside features; leave --features out")
        config = ProxyConfig(self.config.model, self.config.proxy, self.run.seed, repeat)
        images = len(self.trained_on.pool)
        trace = TrainingTrace(images, config.training.epochs)
        if self.config.proxy_file is not None:
            return self._given(config), trace
        proxy = train_proxy(config, self.trained_on, self.machine, trace)
        self.phases.add("proxy", proxy.result.seconds, config.training.epochs * images)
        return proxy, trace if self.trained_on is self.data else trace.first(len(self.data.pool))

    def _given(self, config: ProxyConfig) -> Proxy:
        path = self.machine.execution.proxy
        if path is None or content_digest(Path(path)) != self.config.proxy_file:
            raise UserError(f"{self.run.name()} was selected through a network in a file; give the same one as --proxy")
        return given_proxy(Path(path), config, self.data, self.run.data, self.machine)
