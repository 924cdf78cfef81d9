"""From a data set to coresets: the proxy, what the method needs of it, and the selection for every size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from torch import Tensor

from experiments.certificates import certified
from experiments.data import data_for
from experiments.phases import Phases
from experiments.pool_features import PoolFeatures
from experiments.pool_scores import PoolScores
from experiments.proxies import Proxies
from experiments.proxy import Proxy
from experiments.selection_inputs import gather
from methods import check_features, make_method
from methods.base import Need
from methods.budgets import budgets_for
from methods.prune import Prune
from methods.select import select_nested
from methods.split import Split
from utils.config import RunConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.device import compute_deterministically, forget_peak_memory, peak_memory
from utils.errors import UserError
from utils.records.run_folder import RunFolder
from utils.records.summary import Timing
from utils.training.machine import Machine


class Selection:
    """The coresets of one seed; data, proxy and features are made when they are first asked for.

    Args:
        config: of a run with this selection; its size plays no part.
        sizes: all that will be asked for: they share one proxy and, where picks are nested, one selection.
        machine: its execution says where proxies are cached, features kept or taken from, and how much memory may be
            used.
        data: what to select from; None: the images that the configuration names.
        beside: int64 [m] into ``data.train``, images that the proxy is trained on beside the pool.
    """

    def __init__(
        self,
        config: RunConfig,
        sizes: Sequence[CoresetSize],
        machine: Machine,
        data: Data | None = None,
        beside: Tensor | None = None,
    ) -> None:
        if config.training.deterministic:
            compute_deterministically()
        self.own_data, self.beside = data, beside
        self.run, self.config, self.sizes, self.machine = config, config.selection, sizes, machine
        self.execution, self.phases = machine.execution, Phases(machine.device)
        self.peak_memory = 0  # of the selection, once it was made

    def coreset(self, size: CoresetSize) -> Coreset:
        """Return the coreset of one of the sizes, out of ``data.pool``; its indices are into ``data.train``.

        Raises:
            DivergedError: the loss of a proxy became NaN or infinite.
            UserError: a size that cannot be, or something missing that the method needs.
        """
        return self._coresets[size]

    @cached_property
    def data(self) -> Data:
        """The images to select from, at the size that the proxy takes."""
        return self.own_data or data_for(
            self.config.model or self.run.model, self.run.data, self.run.seed, self.machine
        )

    @property
    def proxy(self) -> Proxy:
        """The network that features, scores and perturbations come from."""
        return self._proxies.proxy

    @cached_property
    def features(self) -> PoolFeatures:
        """What the proxy says of the images."""
        return PoolFeatures(self.run, self.data, self.machine, self._proxies, self.phases)

    def budgets(self) -> list[dict[int, int]]:
        """Return how many samples to pick for each of the sizes (see :func:`methods.budgets.budgets_for`).

        Raises:
            UserError: a size that cannot be.
        """
        labels, names = self.data.train.labels[self.data.pool], self.data.spec.class_names
        return [budgets_for(labels, size, self.config.balance, names, self._prune) for size in self.sizes]

    def keep(self, run: RunFolder, size: CoresetSize) -> None:
        """Give a run its coreset where it has none yet, and the scores of the selection."""
        if run.needs_coreset:
            coreset = self.coreset(size)
            run.keep_scores(self.scores())
            run.keep(coreset, self.timing())
        elif self.execution.save_scores and run.needs_scores:
            run.keep_scores(self.scores())

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores that the selection looked at, and of which images they are (``PoolScores.known``)."""
        return self._scores.known()

    def timing(self) -> Timing:
        """Return what the phases so far took, and the images that they saw a second."""
        phases = self.phases
        return Timing(dict(phases.seconds), phases.images_per_second, self.features.temperature, self.peak_memory)

    @cached_property
    def _coresets(self) -> dict[CoresetSize, Coreset]:
        forget_peak_memory(self.machine.device)
        method = make_method(self.config.method, **self.config.options)
        inputs = gather(
            method,
            self.data.train.labels[self.data.pool].to(self.machine.device),
            features=self.features.pool,
            validation=self.features.held_out if len(self.data.held_out) else None,
            scores=self._scores.of,
            difficulty=self._scores.difficulty if self._prune or Need.DIFFICULTY in method.needs else None,
            pretrained=self.features.pretrained,
        )
        try:
            check_features(method, inputs)
        except UserError as error:
            raise UserError(f"{self.execution.features}: {error}") from error
        world = self.machine.world
        with self.phases.timed("selection"):
            coresets = select_nested(
                method,
                inputs,
                self.budgets(),
                seed=self.run.seed,
                memory_budget=self.execution.memory_budget,
                prune=self._prune,
                partitions=Split.read(self.config.partitions or "1"),
                world=world,
            )
        for coreset in coresets:
            for each in coreset.partitioned:
                print(f"partitions: {each}", flush=True)
        if self._is_certified:
            looked_at, wanted = self.features.evaluated, self.execution.certificate
            coresets = [certified(each, looked_at, wanted, world) for each in coresets]
        pool = self.data.pool.numpy()
        chosen = [coreset.mapped(pool) for coreset in coresets]
        self.peak_memory = max(world.all_gather_object(peak_memory(self.machine.device)))
        return dict(zip(self.sizes, chosen, strict=True))

    @property
    def _is_certified(self) -> bool:
        """Whether the coresets are measured at the network that they come from."""
        has_network = self.config.proxy is not None or self.config.features is not None
        return self.execution.certificate != "no" and has_network and self.own_data is None

    @property
    def _prune(self) -> Prune | None:
        return None if self.config.prune is None else Prune.read(self.config.prune)

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies(self.run, self.data, self.machine, self.phases, self.beside)

    @cached_property
    def _scores(self) -> PoolScores:
        return PoolScores(self.run, self.data, self.execution, self._proxies, self.features)
