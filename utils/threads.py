"""How many of torch's threads an operation on a CPU takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_WORTH_SHARING = 1 << 22  # values that one operation goes over


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """``count`` threads for every operation inside; called beside the main thread it does nothing."""
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
    """One thread for the many operations inside where each goes over few ``values``.

    Threads that share such an operation gain little, and where other work keeps a core busy they wait for each
    other many times longer than they compute.
    """
    return at_most(1) if values <= _WORTH_SHARING else nullcontext()
