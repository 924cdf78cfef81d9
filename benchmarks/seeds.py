"""Training steps of several seeds in one process: one by one, and stacked into one network by vmap.

python -m benchmarks.seeds                           # a minute on one core
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

import nets
from benchmarks.measure import table
from utils.cli import run_main

_SHAPES = (("MLP", 8, 32, 20, 12), ("MLP", 8, 32, 5, 30), ("MLP", 28, 128, 20, 6), ("LeNet", 28, 32, 20, 3))
_REPEATS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = []
    for model, size, batch, seeds, steps in _SHAPES:
        x, y = torch.randn(seeds, batch, 1, size, size), torch.randint(10, (seeds, batch))
        ways = (_one_by_one, _stacked)
        rounds = [
            [way([_network(model, size, seed) for seed in range(seeds)], x, y, steps) for way in ways]
            for _ in range(_REPEATS)
        ]
        alone, together = (1e3 * statistics.median(each) / seeds / steps for each in zip(*rounds, strict=True))
        shape = f"{model}, {size}×{size}, {batch}"
        rows.append([shape, str(seeds), f"{alone:.2f}", f"{together:.2f}", f"{alone / together:.2f}×"])
    print(table(["network, images, batch", "seeds", "one by one (ms a step and seed)", "stacked (ms)", "ratio"], rows))


def _network(model: str, size: int, seed: int) -> nets.Network:
    torch.manual_seed(seed)
    return nets.build(model, 1, 10, size)


def _one_by_one(networks: Sequence[nets.Network], x: Tensor, y: Tensor, steps: int) -> float:
    """Train each network by itself; return the seconds of the processor."""
    started = time.process_time()
    for network, images, labels in zip(networks, x, y, strict=True):
        _train(list(network.parameters()), lambda: F.cross_entropy(network(images), labels), steps)  # noqa: B023
    return time.process_time() - started


def _stacked(networks: Sequence[nets.Network], x: Tensor, y: Tensor, steps: int) -> float:
    """Train all as one; return the seconds of the processor."""
    shape = copy.deepcopy(networks[0]).to("meta")
    stacked, buffers = stack_module_state(list(networks))
    weights = {name: each.detach().requires_grad_() for name, each in stacked.items()}

    def loss(own: dict[str, Tensor], its: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(shape, (own, its), (images,)), labels)

    started = time.process_time()
    _train(list(weights.values()), lambda: vmap(loss)(weights, buffers, x, y).sum(), steps)
    return time.process_time() - started


def _train(parameters: list[Tensor], loss: Callable[[], Tensor], steps: int) -> None:
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in range(steps):
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None


if __name__ == "__main__":
    raise SystemExit(run_main(main))
