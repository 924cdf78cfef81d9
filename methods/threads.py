"""How many of torch's threads an operation on a CPU takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
