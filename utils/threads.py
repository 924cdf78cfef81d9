"""Limits on torch's threads on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_WORTH_SHARING = 1 << 22  # values that one operation goes over


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
