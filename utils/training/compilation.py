"""Networks compiled by ``torch.compile``; on a GPU as CUDA graphs, which launch a whole step at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from utils.errors import UserError


def compiled(network: nn.Module, device: torch.device, batch: int) -> Callable[[Tensor], Tensor]:
    """Compile ``network``, which is done at its first call.

    A CUDA graph is of one shape. On a GPU it is that of ``batch`` images, and a batch of another size, as the last one
    of an epoch, goes through the network as it is, which costs no second compilation.
    """
    if device.type != "cuda":
        return torch.compile(network)
    graph = torch.compile(network, mode="reduce-overhead", dynamic=False)

    def forward(images: Tensor) -> Tensor:
        return graph(images) if len(images) == batch else network(images)

    return forward


@contextmanager
def compilation(enabled: bool) -> Iterator[None]:
    """Raise a UserError where ``torch.compile``, which does its work at the first steps in the block, fails.

    Raises:
        UserError: there is no working compiler, or none for this network.
    """
    try:
        yield
    except RuntimeError as error:
        if not (enabled and isinstance(error, torch._dynamo.exc.TorchDynamoException)):
            raise
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise UserError(f"--compile failed: {reason}; install a C++ compiler (g++), or leave --compile out") from error
