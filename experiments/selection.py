"""From a data set to coresets: the proxy, what the method needs of it, and the selection for every size."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.certificates import certified
from experiments.data import data_for
from experiments.feature_store import FeatureStore
from experiments.features_by_class import features_by_class, has_batch_statistics
from experiments.features_file import load_features
from experiments.proxy import Proxy, ProxyConfig, given_proxy, train_proxy
from experiments.scores_file import GivenScores, load_scores, trace_scores
from experiments.selection_inputs import compute_scores, gather
from methods import SCORES, check_features, make_method
from methods.base import Need
from methods.budgets import budgets_for
from methods.deepfool import perturbations
from methods.features import AnyFeatures, Features, SharedFeatures, StoredFeatures, parts_of
from methods.prune import Prune
from methods.score_method import ScoreMethod, TraceMethod
from methods.scoring import at_temperature, auto_temperature
from methods.select import select_nested
from methods.split import Split
from nets.pretrained import pretrained_embeddings
from utils.config import RunConfig
from utils.coreset_size import CoresetSize
from utils.data.batches import Batches
from utils.data.coreset import Coreset
from utils.data.coreset_formats import MADE_OF
from utils.data.images import Images
from utils.data.load import Data
from utils.device import compute_deterministically, finish_queued_work, forget_peak_memory, peak_memory
from utils.errors import UserError
from utils.files import content_digest
from utils.records.run_folder import RunFolder
from utils.records.summary import Timing
from utils.training.evaluation import TEST_BATCH, embed_and_classify, with_batches_that_fit
from utils.training.machine import Machine
from utils.training.training_trace import TrainingTrace

_REPEATS = 10  # independently seeded networks that GraNd averages over


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
        self.execution = machine.execution
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.images_seen: defaultdict[str, int] = defaultdict(int)
        self.temperature: float | None = None  # once it was found
        self.peak_memory = 0  # of the selection, once it was made
        self._known: dict[str, Tensor] = {}  # scores of the pool by name, once they were asked for

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

    @cached_property
    def images(self) -> Images:
        """The training images, on the device where they fit."""
        return self.machine.hold(self.data.train)

    def budgets(self) -> list[dict[int, int]]:
        """Return how many samples to pick for each of the sizes (see :func:`methods.budgets.budgets_for`).

        Raises:
            UserError: a size that cannot be.
        """
        labels, names = self.data.train.labels[self.data.pool], self.data.spec.class_names
        return [budgets_for(labels, size, self.config.balance, names, self._prune) for size in self.sizes]

    @cached_property
    def _coresets(self) -> dict[CoresetSize, Coreset]:
        forget_peak_memory(self.machine.device)
        method = make_method(self.config.method, **self.config.options)
        labels = self.data.train.labels[self.data.pool]
        held_out = self.data.held_out
        inputs = gather(
            method,
            labels.to(self.machine.device),
            features=self.pool_features,
            validation=(lambda: self._heated(self._features(self.proxy, held_out)).read()) if len(held_out) else None,
            scores=self._scores,
            difficulty=self._difficulty if self._prune or Need.DIFFICULTY in method.needs else None,
            pretrained=self._pretrained,
        )
        try:
            check_features(method, inputs)
        except UserError as error:
            raise UserError(f"{self.execution.features}: {error}") from error
        world = self.machine.world
        with self._timed("selection"):
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
        pool = self.data.pool.numpy()
        if self._is_certified:
            coresets = [certified(each, self._looked_at, self.execution.certificate, world) for each in coresets]
        chosen = [coreset.mapped(pool) for coreset in coresets]
        self.peak_memory = max(world.all_gather_object(peak_memory(self.machine.device)))
        return dict(zip(self.sizes, chosen, strict=True))

    @property
    def _is_certified(self) -> bool:
        """Whether the coresets are measured at the network that they come from."""
        has_network = self.config.proxy is not None or self.config.features is not None
        return self.execution.certificate != "no" and has_network and self.own_data is None

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores that the selection looked at, float64 [m] by name, and of which images they are.

        With the trace of a proxy these are all that it gives. Empty where the selection looked at none, unless
        --save_scores asks for those of the proxy.
        """
        if self.execution.save_scores and self.config.proxy is not None and self.config.proxy_file is None:
            self._known.update({**trace_scores(self._trace()), **self._known})
        if not self._known:
            return {}
        pool = self.data.pool
        where = {"indices": pool.numpy(), "labels": self.data.train.labels[pool].numpy()}
        if self.run.data.train_images is not None:
            where[MADE_OF] = np.array(self.run.data.train_images)
        return {**where, **{name: values.cpu().numpy() for name, values in self._known.items()}}

    def keep(self, run: RunFolder, size: CoresetSize) -> None:
        """Give a run its coreset where it has none yet, and the scores of the selection."""
        if run.needs_coreset:
            coreset = self.coreset(size)
            run.keep_scores(self.scores())
            run.keep(coreset, self.timing())
        elif self.execution.save_scores and run.needs_scores:
            run.keep_scores(self.scores())

    def timing(self) -> Timing:
        """Return what the phases so far took, and the images that they saw a second."""
        speeds = {phase: images / max(self.seconds[phase], 1e-9) for phase, images in self.images_seen.items()}
        return Timing(dict(self.seconds), speeds, self.temperature, self.peak_memory)

    @cached_property
    def proxy(self) -> Proxy:
        """The network that features, scores and perturbations come from."""
        proxy, _ = self._trained
        if self.config.scoring == "class_batches" and not has_batch_statistics(proxy.network):
            model = proxy.config.model
            print(f"note: {model} has no batch statistics: class_batches equals evaluation", file=sys.stderr)
        return proxy

    @cached_property
    def _trained(self) -> tuple[Proxy, TrainingTrace]:
        return self._train(0)

    def _train(self, repeat: int) -> tuple[Proxy, TrainingTrace]:
        if self.config.model is None or self.config.proxy is None:
            raise UserError(f"{self.config.method} needs a trained network beside features; leave --features out")
        config = ProxyConfig(self.config.model, self.config.proxy, self.run.seed, repeat)
        data = self.data
        if self.beside is not None:
            data = replace(data, pool=torch.cat([data.pool, self.beside]))
        trace = TrainingTrace(len(data.pool), config.training.epochs)
        if self.config.proxy_file is not None:
            return self._given_proxy(config), trace
        proxy = train_proxy(config, data, self.machine, trace)
        self.seconds["proxy"] += proxy.result.seconds
        self.images_seen["proxy"] += config.training.epochs * len(data.pool)
        return proxy, trace if self.beside is None else trace.first(len(self.data.pool))

    def _given_proxy(self, config: ProxyConfig) -> Proxy:
        path = self.execution.proxy
        if path is None or content_digest(Path(path)) != self.config.proxy_file:
            raise UserError(f"{self.run.name()} was selected through a network in a file; give the same one as --proxy")
        return given_proxy(Path(path), config, self.data, self.run.data, self.machine)

    @property
    def _prune(self) -> Prune | None:
        return None if self.config.prune is None else Prune.read(self.config.prune)

    @cached_property
    def _given(self) -> GivenScores | None:
        """The scores of a file that stand in for those of a proxy."""
        if self.config.scores is None or self.execution.scores is None:
            return None
        return load_scores(Path(self.execution.scores), self.data, self.run.data)

    def _scores(self, method: ScoreMethod) -> Tensor:
        """Return the scores of the pool by ``method``: from the file given, else from what the method needs."""
        if self._given is not None:
            scores = self._given.score(method)
        else:
            perturbations = partial(self._of_each, self._perturbations, self.data.pool)
            scores = compute_scores(
                method, trace=self._trace, repeats=self._repeats, perturbations=lambda: perturbations()[0]
            )
            if isinstance(method, TraceMethod):
                self._known.update(trace_scores(self._trace()))
        self._known[type(method).__name__] = scores
        return scores

    def _difficulty(self) -> Tensor:
        """Return how hard each image of the pool is."""
        if self._given is not None:
            self._known.update(self._given.columns)
            return self._given.difficulty(self.config.score)
        method = SCORES[str(self.config.score)]()
        return method.difficulty(self._scores(method))

    def _trace(self) -> TrainingTrace:
        """Return the trace of the proxy's training; of no training (-se 0), one look at the network."""
        proxy, trace = self._trained
        if proxy.config.training.epochs:
            return trace
        features = self._features(proxy, self.data.pool)
        return TrainingTrace.of_one_look(features.logits, features.labels)

    def _repeats(self) -> Iterator[Features]:
        yield self._heated(self._features(self.proxy, self.data.pool)).read()
        for repeat in range(1, _REPEATS):
            proxy, _ = self._train(repeat)
            yield self._heated(self._features(proxy, self.data.pool)).read()

    def pool_features(self) -> AnyFeatures:
        """Return the features of the pool: from the file given, else from the proxy."""
        given, by_class = self.execution.features is not None, self.config.scoring == "class_batches"
        features = self._features_by_class(self.proxy, self.data.pool) if by_class and not given else self._looked_at
        if self.execution.save_features and not given and not isinstance(features, StoredFeatures):
            self._store.keep(features.everywhere())
        return self._heated(features)

    @cached_property
    def _looked_at(self) -> AnyFeatures:
        """The features of the pool in evaluation mode, before any temperature.

        In files where they go there, else shared by ranks.
        """
        if self.execution.features is not None:
            return self._loaded(Path(self.execution.features))
        if self.config.scoring == "class_batches" or not isinstance(self.execution.save_features, str):
            return self._shared(self.proxy, self.data.pool)
        return self._loaded(self._store.write_shards(self._evaluated_here))

    def _loaded(self, path: Path) -> AnyFeatures:
        return load_features(path, self.data, self.run.data, self.machine.device, self.machine.world)

    def _shared(self, proxy: Proxy, indices: Tensor) -> AnyFeatures:
        """Return the features of images in evaluation mode, of which each rank computes and holds its shard."""
        world, labels = self.machine.world, self.data.train.labels[indices].to(self.machine.device)
        if world.size == 1:
            return self._evaluated(proxy, indices)
        embed = partial(embed_and_classify, proxy.network.embed, proxy.network.classifier)
        with self._timed("features", len(indices)):
            z, f, _ = with_batches_that_fit(embed, self._share(indices))
        return SharedFeatures.of(z, f, labels, world)

    def _evaluated_here(self, part: Tensor) -> Features:
        """Return the features of a part of the pool, computed by this rank alone."""
        network, indices = self.proxy.network, self.data.pool[part]
        embed = partial(embed_and_classify, network.embed, network.classifier)
        with self._timed("features", len(indices)):
            return Features.of(*with_batches_that_fit(embed, self._batches(indices)))

    @cached_property
    def _store(self) -> FeatureStore:
        """Where the features of this selection are kept, if they are."""
        way = "_class_batches" if self.config.scoring == "class_batches" else ""
        name = f"{self.data.spec.name}_{self.config.model}_s{self.run.seed}_{self.proxy.key[:8]}{way}"
        folder, in_shards = self.execution.save_features, isinstance(self.execution.save_features, str)
        place = Path(folder) if isinstance(folder, str) else Path(self.execution.save_path) / "features"
        return FeatureStore(place / name, in_shards, self.data, self.run.data, self.machine.world)

    def _heated(self, features: AnyFeatures) -> AnyFeatures:
        """Return the features at the temperature that is asked for, or that the first of them ask for themselves."""
        if self.config.scoring != "temperature" or "logits" not in parts_of(features):
            return features
        if self.config.temperature != "auto":
            return at_temperature(features, float(self.config.temperature or 1))
        if self.temperature is None:
            self.temperature = auto_temperature(features)
            print(f"temperature: {self.temperature:g}", file=sys.stderr, flush=True)
        return at_temperature(features, self.temperature)

    def _pretrained(self) -> Tensor:
        spec, device = self.data.spec, self.machine.device

        def embed(batches: Batches) -> tuple[Tensor]:
            return (pretrained_embeddings(batches, spec.mean, spec.std, device),)

        with self._timed("features", len(self.data.pool)):
            return self._of_each(embed, self.data.pool)[0]

    def _perturbations(self, batches: Batches) -> tuple[Tensor]:
        return (perturbations(self.proxy.network, batches),)

    def _features(self, proxy: Proxy, indices: Tensor) -> Features:
        if self.config.scoring == "class_batches":
            return self._features_by_class(proxy, indices)
        return self._evaluated(proxy, indices)

    def _evaluated(self, proxy: Proxy, indices: Tensor) -> Features:
        network = proxy.network
        with self._timed("features", len(indices)):
            return Features.of(*self._of_each(partial(embed_and_classify, network.embed, network.classifier), indices))

    def _features_by_class(self, proxy: Proxy, indices: Tensor) -> Features:
        labels, size = self.data.train.labels[indices].to(self.machine.device), proxy.config.training.batch

        def batches(members: Tensor) -> Batches:
            return self._batches(indices[members.cpu()], size)

        with self._timed("features", len(indices)):
            return features_by_class(proxy.network, labels, size, batches, self.machine.world)

    def _of_each(self, compute: Callable[[Batches], Sequence[Tensor]], indices: Tensor) -> list[Tensor]:
        """Return what ``compute`` makes of each image, [n, …]; ranks share them out, and all are given everything.

        Raises:
            UserError: there are more ranks than images.
        """
        parts = with_batches_that_fit(compute, self._share(indices))
        return [self.machine.world.all_gather(part, len(indices)) for part in parts]

    def _share(self, indices: Tensor) -> Batches:
        """Return the batches of this rank's share of images; raise UserError where some ranks have none."""
        world, n = self.machine.world, len(indices)
        if n < world.size:
            raise UserError(f"{world.size} processes have only {n} images to share; start torchrun with fewer")
        return self._batches(indices[world.shard(n)])

    def _batches(self, indices: Tensor, size: int = TEST_BATCH) -> Batches:
        spec, device, workers = self.data.spec, self.machine.device, self.execution.workers
        return Batches(self.images, spec, indices, size, device=device, workers=workers)

    @contextmanager
    def _timed(self, phase: str, images: int = 0) -> Iterator[None]:
        started = time.monotonic()
        yield
        finish_queued_work(self.machine.device)
        self.seconds[phase] += time.monotonic() - started
        if images:
            self.images_seen[phase] += images
