"""Where a selection keeps its features: in a file, or in a folder of shards that ranks write side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from experiments.feature_shards import ShardWriter
from experiments.features_file import save_features
from methods.features import Features
from utils.config import DataConfig
from utils.data.load import Data
from utils.distributed import World
from utils.lock import FileLock

_SHARD = 50_000  # images whose features are written at a time


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """A place for the features of ``data.pool``.

    Attributes:
        path: a folder of shards, or with ``.npz`` a file.
        in_shards: which of them.
        config: of the data.
    """

    path: Path
    in_shards: bool
    data: Data
    config: DataConfig
    world: World

    def keep(self, features: Features) -> None:
        """Write features that are held."""
        if self.in_shards:
            self.write_shards(features.subset)
            return
        path = self.path.with_name(f"{self.path.name}.npz")
        self.world.on_rank_zero(save_features, path, features, self.data, self.config)
        print(f"features: {path}", flush=True)

    def write_shards(self, features: Callable[[Tensor], Features]) -> Path:
        """Write the features of the pool part by part, which ranks share out; return the folder.

        Args:
            features: from int64 [m] into ``data.pool`` to the features of those images.
        """
        world, path, pool = self.world, self.path, self.data.pool
        with world.context_on_rank_zero(FileLock(path.with_name(f"{path.name}.lock"))):
            writer = world.on_rank_zero(ShardWriter, path, self.config.train_images)
            parts = torch.arange(len(pool)).split(_SHARD)
            for number in range(len(parts))[world.rank :: world.size]:
                writer.add(number, features(parts[number]), pool[parts[number]])
            digests: dict[str, str] = {}
            for of_rank in world.all_gather_object(writer.digests):
                digests |= of_rank
            world.on_rank_zero(writer.finish, digests)
        print(f"features: {path}", flush=True)
        return path
