"""Several processes that do one piece of work: ``torchrun --nproc_per_node=N main.py …``.

Every rank runs the whole program on its share of the images and classes. The first rank alone prints, locks, writes
and is told to stop; what it read and decided goes to the others, so that all of them do the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.cli import Terminated
from utils.errors import UserError

T = TypeVar("T")

_TIMEOUT = timedelta(hours=2)  # the longest that one rank works while the others wait, as for a download
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_ENDED = "lcmat/ended"  # where the first rank that fails leaves its exit status


@dataclass(frozen=True)
class World:
    """This process among those that work together; by itself, the one and only.

    Attributes:
        rank: 0 … size − 1; ``local_rank`` counts on this machine alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the rank that prints and writes."""
        return self.rank == 0

    @property
    def purpose(self) -> tuple[str | int, ...]:
        """What sets this rank's own random numbers, such as dropout's, apart from the first's."""
        return () if self.first else ("rank", self.rank)

    def share(self, n: int) -> slice:
        """This rank's part of n things in a row; parts differ by one at most, and some are empty where n is small."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def deal(self, sizes: Sequence[int]) -> list[int]:
        """Which of several jobs are this rank's, ascending: the largest are dealt first."""
        largest_first = sorted(range(len(sizes)), key=lambda job: -sizes[job])
        return sorted(largest_first[self.rank :: self.size])

    def gather(self, part: Tensor, n: int) -> Tensor:
        """The whole [n, …], the same on every rank, from each rank's :meth:`share` of its rows."""
        if self.size == 1:
            return part
        kind = torch.uint8 if part.dtype == torch.bool else part.dtype
        whole = part.new_zeros(n, *part.shape[1:], dtype=kind)
        whole[self.share(n)] = part.to(kind)
        dist.all_reduce(whole)  # adds zeros: exact, and half the memory of gathering parts and joining them
        return whole.to(part.dtype)

    def total(self, part: Tensor) -> Tensor:
        """The sum of all ranks' tensors."""
        if self.size == 1:
            return part
        whole = part.clone()
        dist.all_reduce(whole)
        return whole

    def collect(self, value: T) -> list[T]:
        """Every rank's value, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def lead(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the first rank, alone, gets from ``function(*arguments)``, on every rank; or the error that it gets.

        Tensors in it must be on the CPU.
        """
        if self.size == 1:
            return function(*arguments)
        said: list[Any] = [None, None]
        if self.first:
            try:
                said[0] = function(*arguments)
            except Exception as error:
                said[1] = error
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        if said[1] is not None:
            raise said[1]
        return said[0]

    def in_turn(self, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments)`` on every rank, the first ahead of the others, who find what it left on disk."""
        results: list[T] = []

        def call() -> None:
            results.append(function(*arguments))

        self.lead(call)
        if not self.first:
            call()
        return results[0]

    def leading(self, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """A context, a lock above all, that only the first rank enters."""
        return context if self.first else nullcontext()

    def parallel(self, network: nn.Module) -> nn.Module:
        """``network`` such that a backward pass averages gradients over the ranks.

        On GPUs batch normalisation takes the statistics of the whole batch; on CPUs, where torch has no such
        thing, each rank normalises by its own part.
        """
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network)

    def share_buffers(self, network: nn.Module) -> None:
        """Give every rank the first's buffers: running statistics, where each normalised by its own."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


ALONE = World()


def current_world() -> World:
    """The processes that :func:`world_from_environment` connected, as long as its block lasts; else this one alone."""
    if not dist.is_initialized():
        return ALONE
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))


@contextmanager
def world_from_environment() -> Iterator[World]:
    """The processes that torchrun started, or this one alone; their connections last as long as the block.

    Ranks beside the first are silent and ignore Ctrl-C and SIGTERM: they end with the first. Where one fails, it
    alone says why, and all end with its status.

    Raises:
        UserError: torchrun's variables are there, but make no sense.
    """
    if any(name not in os.environ for name in _VARIABLES) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=_TIMEOUT))
        dist.init_process_group(store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the processes that torchrun started do not find one another: {error}") from error
    try:
        with nullcontext() if rank == 0 else _silenced():
            yield current_world()
    except BaseException as error:  # also Ctrl-C and SystemExit, which end the others too
        status = _status(error)
        if status and (ended := _ended(store, status)) is not None:
            raise SystemExit(ended) from None
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise UserError("another process of this run was killed or lost; started again, it goes on") from error
        raise
    dist.destroy_process_group()


def _ended(store: dist.Store, status: int) -> int | None:
    """Leave this rank's exit status; or, where another rank's failure came first, that one's."""
    mine = f"{os.getpid()} {status}"
    try:
        found = store.compare_set(_ENDED, "", mine).decode()
    except RuntimeError:  # the store's process is gone, and with it whoever knew more
        return None
    return None if found == mine else int(found.split()[1])


def _status(error: BaseException) -> int:
    """What the shell will see of it, as run_main has it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    statuses = {UserError: 2, Terminated: 128 + signal.SIGTERM, KeyboardInterrupt: 128 + signal.SIGINT}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 1)


@contextmanager
def _silenced() -> Iterator[None]:
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)
