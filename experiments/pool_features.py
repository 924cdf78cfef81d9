"""What a network says of the images to select from, at the point at which the method is to look at the loss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from torch import Tensor

from experiments.feature_store import FeatureStore
from experiments.features_by_class import features_by_class
from experiments.features_file import load_features
from experiments.phases import Phases
from experiments.proxies import Proxies
from experiments.proxy import Proxy
from methods.base import Need
from methods.deepfool import perturbations
from methods.features import AnyFeatures, Features, SharedFeatures, StoredFeatures, parts_of
from methods.scoring import at_temperature, auto_temperature
from nets.pretrained import pretrained_embeddings
from utils.config import RunConfig
from utils.data.batches import Batches
from utils.data.images import Images
from utils.data.load import Data
from utils.errors import UserError
from utils.training.evaluation import TEST_BATCH, embed_and_classify, with_batches_that_fit
from utils.training.machine import Machine


class PoolFeatures:
    """Embeddings and logits of ``data.pool``, computed when they are first asked for, and what else takes pixels.

    Args:
        run: whose selection looks at them: its scoring and temperature.
        data: the images.
        machine: its execution says where features are kept or taken from.
        proxies: the networks that look.
        phases: where computing them is counted.
    """

    def __init__(self, run: RunConfig, data: Data, machine: Machine, proxies: Proxies, phases: Phases) -> None:
        self.run, self.config, self.data, self.machine = run, run.selection, data, machine
        self.proxies, self.phases, self.execution = proxies, phases, machine.execution
        self.looks_by_class = self.config.scoring == "class_batches"
        self.temperature: float | None = None  # once it was found

    def pool(self) -> AnyFeatures:
        """Return the features of the pool: from the file given, else from the proxy."""
        given = self.execution.features is not None
        by_class = self.looks_by_class and not given
        features = self._by_class(self.proxies.proxy, self.data.pool) if by_class else self.evaluated
        if self.execution.save_features and not given and not isinstance(features, StoredFeatures):
            self._store.keep(features.everywhere())
        return self._heated(features)

    def held_out(self) -> Features:
        """Return the features of the images held out for validation."""
        return self._heated(self.of(self.proxies.proxy, self.data.held_out)).read()

    def repeats(self) -> Iterator[Features]:
        """Yield the features of the pool by each of the independently seeded networks."""
        for proxy in self.proxies.repeats():
            yield self._heated(self.of(proxy, self.data.pool)).read()

    def of(self, proxy: Proxy, indices: Tensor) -> Features:
        """Return the features of images by a network, before any temperature."""
        return self._by_class(proxy, indices) if self.looks_by_class else self._evaluated(proxy, indices)

    def perturbations(self) -> Tensor:
        """Return how far DeepFool moves each image of the pool, [n]."""

        def perturbed(batches: Batches) -> tuple[Tensor]:
            return (perturbations(self.proxies.proxy.network, batches),)

        return self._of_each(perturbed, self.data.pool)[0]

    def pretrained(self) -> Tensor:
        """Return the embeddings of the pool by an ImageNet network, [n, d]."""
        spec, device = self.data.spec, self.machine.device

        def embedded(batches: Batches) -> tuple[Tensor]:
            return (pretrained_embeddings(batches, spec.mean, spec.std, device),)

        with self.phases.timed("features", len(self.data.pool)):
            return self._of_each(embedded, self.data.pool)[0]

    @cached_property
    def evaluated(self) -> AnyFeatures:
        """The features of the pool in evaluation mode, before any temperature.

        In files where they go there, else shared by ranks.
        """
        if self.execution.features is not None:
            return self._loaded(Path(self.execution.features))
        if self.looks_by_class or not isinstance(self.execution.save_features, str):
            return self._shared(self.proxies.proxy, self.data.pool)
        return self._loaded(self._store.write_shards(self._evaluated_here))

    def _loaded(self, path: Path) -> AnyFeatures:
        return load_features(path, self.data, self.run.data, self.machine.device, self.machine.world)

    def _shared(self, proxy: Proxy, indices: Tensor) -> AnyFeatures:
        """Return the features of images in evaluation mode, of which each rank computes and holds its shard."""
        world, labels = self.machine.world, self._labels(indices)
        if world.size == 1:
            return self._evaluated(proxy, indices)
        with self.phases.timed("features", len(indices)):
            z, f, _ = with_batches_that_fit(_embedding(proxy), self._share(indices))
        return SharedFeatures.of(z, f, labels, world)

    def _evaluated_here(self, part: Tensor) -> Features:
        """Return the features of a part of the pool, computed by this rank alone."""
        indices = self.data.pool[part]
        with self.phases.timed("features", len(indices)):
            return Features.of(*with_batches_that_fit(_embedding(self.proxies.proxy), self._batches(indices)))

    def _evaluated(self, proxy: Proxy, indices: Tensor) -> Features:
        with self.phases.timed("features", len(indices)):
            return Features.of(*self._of_each(_embedding(proxy), indices))

    def _by_class(self, proxy: Proxy, indices: Tensor) -> Features:
        size = proxy.config.training.batch

        def batches(members: Tensor) -> Batches:
            return self._batches(indices[members.cpu()], size)

        with self.phases.timed("features", len(indices)):
            return features_by_class(proxy.network, self._labels(indices), size, batches, self.machine.world)

    @cached_property
    def _store(self) -> FeatureStore:
        """Where the features of this selection are kept, if they are."""
        way = "_class_batches" if self.looks_by_class else ""
        key = self.proxies.proxy.key[:8]
        name = f"{self.data.spec.name}_{self.config.model}_s{self.run.seed}_{key}{way}"
        folder, in_shards = self.execution.save_features, isinstance(self.execution.save_features, str)
        place = Path(folder) if isinstance(folder, str) else Path(self.execution.save_path) / "features"
        return FeatureStore(place / name, in_shards, self.data, self.run.data, self.machine.world)

    def _heated(self, features: AnyFeatures) -> AnyFeatures:
        """Return the features at the temperature that is asked for, or that the first of them ask for themselves."""
        if self.config.scoring != "temperature" or Need.LOGITS.value not in parts_of(features):
            return features
        if self.config.temperature != "auto":
            return at_temperature(features, float(self.config.temperature or 1))
        if self.temperature is None:
            self.temperature = auto_temperature(features)
            print(f"temperature: {self.temperature:g}", file=sys.stderr, flush=True)
        return at_temperature(features, self.temperature)

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
        return Batches(self._images, spec, indices, size, device=device, workers=workers)

    @cached_property
    def _images(self) -> Images:
        """The training images, on the device where they fit."""
        return self.machine.hold(self.data.train)

    def _labels(self, indices: Tensor) -> Tensor:
        return self.data.train.labels[indices].to(self.machine.device)


def _embedding(proxy: Proxy) -> Callable[[Batches], tuple[Tensor, ...]]:
    """Return what takes batches to the embeddings, logits and labels of their images by the network."""
    return partial(embed_and_classify, proxy.network.embed, proxy.network.classifier)
