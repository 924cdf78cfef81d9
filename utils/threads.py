"""Limits on torch's threads on a CPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

_WORTH_SHARING = 1 << 22  # values that one operation goes over
_FORWARD_WORTH_SHARING = 20_000_000  # operations of one forward pass


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Run the block with at most ``count`` threads an operation; outside the main thread this does nothing."""
    before = torch.get_num_threads()
    if count >= before or threading.current_thread() is not threading.main_thread():
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def small_steps(values: int) -> AbstractContextManager[None]:
    """Return a context of one thread, for many operations that go over few ``values`` each.

    Threads that share such an operation gain little, and where other work keeps a core busy they wait for each
    other many times longer than they compute.
    """
    return at_most(1) if values <= _WORTH_SHARING else nullcontext()


def small_training(network: nn.Module, batch_shape: Sequence[int]) -> AbstractContextManager[None]:
    """Return a context of one thread, for training in steps that threads would not make faster.

    It depends on the network and the batch alone, so that a training gives the same weights on any number of cores.

    Args:
        network: what is trained; left as it is.
        batch_shape: of the images of a step, [b, c, h, w].
    """
    from torch.utils.flop_counter import FlopCounterMode  # brings triton, for which a selection need not wait

    shape = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape(torch.empty(*batch_shape, device="meta"))
    return at_most(1) if counter.get_total_flops() <= _FORWARD_WORTH_SHARING else nullcontext()
