"""What two processes do together, for test_distributed.py to compare with what one does alone.

RANK=0 … python two_ranks.py work FOLDER      do all of WORK and save what came of it
RANK=0 … python two_ranks.py NAME             end as ENDS says
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny_data import make_data

import experiments.feature_store
import nets
from experiments.selection import Selection
from methods import make_method
from methods.base import SelectionInputs
from methods.budgets import budgets_for
from methods.features import Features, SharedFeatures
from methods.scoring import at_temperature, auto_temperature
from methods.select import select_nested
from methods.split import Split
from nets.contract import BatchNorm2d
from utils.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import CoresetSize
from utils.data.training_set import TrainingSet
from utils.distributed import World, world_from_environment
from utils.errors import UserError
from utils.execution import ExecutionConfig
from utils.training.machine import Machine
from utils.training.trainer import Training
from utils.training.training_trace import TrainingTrace

CPU = torch.device("cpu")
experiments.feature_store._SHARD = 25  # images
CONFIG = TrainingConfig(epochs=3, batch=16, optimizer=OptimizerConfig(lr=0.05))
PROXY = TrainingConfig(epochs=2, batch=16, optimizer=OptimizerConfig(lr=0.01), scheduler=None, augment=False)


class StopError(Exception):
    """What a kill at one step looks like from inside."""


class Stopping(TrainingTrace):
    """Ends the training at a step."""

    def __init__(self, n: int, step: int) -> None:
        super().__init__(n, CONFIG.epochs)
        self.left = step

    def observe(self, epoch: int, positions: torch.Tensor, measured: torch.Tensor) -> None:
        super().observe(epoch, positions, measured)
        self.left -= 1
        if not self.left:
            raise StopError


class Double(torch.nn.Module):
    """In float64, where rounding hides no mistake."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.double())


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if name == "normalised":
        layers = [torch.nn.Conv2d(1, 4, 3), BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 3)]
        return torch.nn.Sequential(*layers)
    return nets.build(name, 1, 3, 8)


def trained(world: World, name: str, images: int, weighted: bool = False, **options: Any) -> dict[str, Any]:
    """What a training comes to: weights, history, trace."""
    data, model = make_data(), Double(network(name))
    weights = torch.rand(images, generator=torch.Generator().manual_seed(1)).mul(2).floor() if weighted else None
    trace = options.pop("observer", None) or TrainingTrace(images, CONFIG.epochs)
    training = Training(
        model,
        TrainingSet(data, data.pool[:images], weights),
        CONFIG,
        seed=1,
        purpose="test",
        label="test",
        machine=Machine(CPU, ExecutionConfig(checkpoint_interval=0.0), world),
        observer=trace,
        **options,
    )
    outcome = training.run()
    rows = [(row.train_loss, row.train_accuracy, row.test_loss, row.test_accuracy) for row in outcome.history]
    return {"state": model.state_dict(), "history": torch.tensor(rows), "trace": trace.state_dict()}


def interrupted(world: World) -> dict[str, Any]:
    """A training that both ranks leave after its sixth step, and that both go on with."""

    with tempfile.TemporaryDirectory() as folder:
        path = world.on_rank_zero(lambda: Path(folder) / "checkpoint.pt")
        options = {"checkpoint": path}
        try:
            trained(world, "MLP", 60, observer=Stopping(60, 6), **options)
        except StopError:
            done = trained(world, "MLP", 60, **options)
        world.all_gather_object(None)  # nobody removes the folder while the other reads
        return done


def selected(
    world: World, name: str, balance: bool, partitions: str = "1", shared: bool = False, **options: Any
) -> dict[str, Any]:
    """Coresets from the same features; where they are ``shared``, each rank has its shard of them."""
    random = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 9 + [1] * 30 + [2] * 17 + [3] * 22)
    z, f = torch.randn(78, 6, generator=random), torch.randn(78, 4, generator=random)
    features = Features.of(z, f, labels)
    if shared and world.size > 1:
        features = SharedFeatures.of(z[world.shard(78)], f[world.shard(78)], labels, world)
    inputs = SelectionInputs(labels, at_temperature(features, auto_temperature(features)))
    method = make_method(name, **options)
    sizes = [CoresetSize.of(fraction=fraction) for fraction in (0.1, 0.3)]
    budgets = [budgets_for(labels, size, balance) for size in sizes]
    coresets = select_nested(method, inputs, budgets, seed=0, partitions=Split.read(partitions), world=world)
    found = {str(size): torch.tensor(coreset.indices) for size, coreset in zip(sizes, coresets, strict=True)}
    weights = [torch.tensor(coreset.weights) for coreset in coresets if coreset.weights is not None]
    said = "".join(str(each) for coreset in coresets for each in coreset.partitioned)
    return {**found, "weights": weights, "partitioned": torch.tensor(list(said.encode()))}


def pipeline(world: World, name: str, model: str, shards: bool = False, **selection: Any) -> dict[str, Any]:
    """A coreset by a proxy, from the data on; with ``shards`` its features go through a folder."""
    with tempfile.TemporaryDirectory() as folder:
        shared = world.on_rank_zero(str, folder)
        kept = f"{shared}/shards" if shards else True
        execution = ExecutionConfig(save_path=shared, workers=0, save_features=kept)
        size = CoresetSize.of(fraction=0.2)
        config = SelectionConfig(name, model=model, proxy=PROXY, **selection)
        run = RunConfig(DataConfig("Tiny"), model, config, size, 0, CONFIG)
        picked = []
        for _ in range(2):
            selection = Selection(run, [size], Machine(CPU, execution, world))
            selection.data = make_data()
            picked.append(torch.tensor(selection.coreset(size).indices))
        world.all_gather_object(None)
        return {"first": picked[0], "from the cache": picked[1]}


def exchanged(world: World) -> dict[str, Any]:
    """Tensors and values that went from rank to rank."""
    rows = torch.arange(10.0).view(5, 2) - 4
    mine = world.shard(5)

    def refuse() -> None:
        raise UserError("no such thing")

    try:
        world.on_rank_zero(refuse)
        refused = ""
    except UserError as error:
        refused = str(error)
    with tempfile.TemporaryDirectory() as folder:
        file = world.on_rank_zero(lambda: Path(folder) / "file")
        found = world.rank_zero_first(lambda: file.exists() or (file.touch(), time.sleep(0.1)) == ())
        world.all_gather_object(None)
    return {
        "float": world.all_gather(rows[mine], 5),
        "bool": world.all_gather(rows[mine] > 0, 5),
        "empty": world.all_gather(torch.arange(1)[world.shard(1)], 1),
        "all_to_all": world.all_to_all(rows[mine], torch.tensor([1, 0, 1, 0, 1])[mine] % world.size),
        "all_reduce": world.all_reduce(torch.tensor(1.0 + world.rank)),
        "all_gather_object": torch.tensor(world.all_gather_object(world.rank)),
        "on_rank_zero": world.on_rank_zero(lambda: world.rank),
        "refused": refused,
        "found": found,
    }


PARTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "random parts": lambda world: selected(world, "LCMat", False, partitions="4"),
    "near parts": lambda world: selected(world, "Craig", False, partitions="near:5"),
    "parts of classes": lambda world: selected(world, "Craig", True, partitions="2"),
    "shared classes": lambda world: selected(world, "Craig", True, shared=True),
    "shared classes in parts": lambda world: selected(world, "LCMat", True, partitions="2", shared=True),
    "shared at once": lambda world: selected(world, "GradMatch", False, shared=True),
    "shared parts": lambda world: selected(world, "LCMat", False, partitions="3", shared=True),
}
WORK: dict[str, Callable[[World], dict[str, Any]]] = {
    "MLP": lambda world: trained(world, "MLP", 60),
    "ConvNet": lambda world: trained(world, "ConvNet", 60),
    "an empty shard": lambda world: trained(world, "MLP", 17),
    "one image": lambda world: trained(world, "ConvNet", 1),
    "weights": lambda world: trained(world, "MLP", 55, weighted=True),
    "normalised": lambda world: trained(world, "normalised", 60),
    "interrupted": interrupted,
    "LCMat": lambda world: selected(world, "LCMat", True),
    "naive": lambda world: selected(world, "LCMat", True, greedy="NaiveGreedy"),
    "unbalanced": lambda world: selected(world, "LCMat", False),
    "random": lambda world: selected(world, "kCenterGreedy", True),
    "shards": lambda world: pipeline(world, "LCMat", "MLP", shards=True),
    **PARTS,
    "pipeline": lambda world: pipeline(world, "LCMat", "MLP"),
    "pipeline at once": lambda world: pipeline(
        world, "LCMat", "MLP", balance=False, scoring="temperature", temperature="auto"
    ),
    "pipeline ConvNet": lambda world: pipeline(world, "LCMat", "ConvNet"),
    "forgetting": lambda world: pipeline(world, "Forgetting", "MLP"),
    "pixels": lambda world: pipeline(world, "DeepFool", "MLP"),
    "exchanged": exchanged,
}


def main() -> None:
    torch.set_num_threads(1)
    with world_from_environment() as world:
        results = {name: work(world) for name, work in (WORK if world.size == 2 else PARTS).items()}
        torch.save(results, Path(sys.argv[1]) / f"{world.rank}.pt")


if __name__ == "__main__":
    main()
