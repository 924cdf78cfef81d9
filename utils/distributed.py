"""Several processes that do one piece of work: ``torchrun --nproc_per_node=N main.py …``.

Every rank runs the whole program on its shard of the images and classes. Rank 0 alone prints, locks, writes and is
told to stop; what it read and decided goes to the others, so that all of them do the same.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
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
_BETWEEN_LOOKS, _TO_END_BY_ITSELF = 1.0, 3.0  # seconds
_ENDED = "lcmat/ended"  # key under which the first rank that fails leaves its exit status


@dataclass(frozen=True)
class World:
    """The place of this process among the ranks that torchrun started; by default it is the only one.

    Attributes:
        rank: 0 … size − 1; ``local_rank`` counts on this machine alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the rank that prints and writes."""
        return self.rank == 0

    @property
    def purpose(self) -> tuple[str | int, ...]:
        """What ``derive_seed`` takes to give this rank random numbers of its own, for dropout; empty on rank 0."""
        return () if self.is_rank_zero else ("rank", self.rank)

    def shard(self, n: int) -> slice:
        """Return this rank's part of n rows; parts differ by one at most, and some are empty where n is small."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def shard_by_size(self, sizes: Sequence[int]) -> list[int]:
        """Return which of several jobs are this rank's, ascending; the largest are handed out first."""
        return self.all_shards_by_size(sizes)[self.rank]

    def all_shards_by_size(self, sizes: Iterable[int]) -> list[list[int]]:
        """Return which of several jobs are each rank's, as ``shard_by_size``."""
        descending = [job for job, _ in sorted(enumerate(sizes), key=lambda each: -each[1])]
        return [sorted(descending[rank :: self.size]) for rank in range(self.size)]

    def all_gather(self, part: Tensor, n: int) -> Tensor:
        """Return the whole [n, …] on every rank, from each rank's :meth:`shard` of its rows."""
        return self.all_gather_each([part], [n])[0]

    def all_gather_each(self, parts: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
        """Return :meth:`all_gather` of each of ``parts``, alike but for their numbers of rows, by one exchange."""
        if self.size == 1:
            return list(parts)
        dtype = parts[0].dtype
        kind = torch.uint8 if dtype == torch.bool else dtype
        whole = parts[0].new_zeros(sum(counts), *parts[0].shape[1:], dtype=kind)
        for rows, part in zip(whole.split(list(counts)), parts, strict=True):
            rows[self.shard(len(rows))] = part.to(kind)
        dist.all_reduce(whole)  # adds zeros: exact, and half the memory of gathering parts and joining them
        return list(whole.to(dtype).split(list(counts)))

    def all_to_all(self, rows: Tensor, owners: Tensor) -> Tensor:
        """Send each of this rank's rows, [m, w], to the rank that owns it; return the rows sent here, by sender.

        Args:
            rows: of this rank.
            owners: int64 [m], the rank that each goes to.
        """
        if self.size == 1:
            return rows
        sent = owners.bincount(minlength=self.size)  # [size]
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent)
        counts = received.tolist()
        whole = rows.new_empty(sum(counts), *rows.shape[1:])
        dist.all_to_all_single(whole, rows[owners.argsort(stable=True)], counts, sent.tolist())
        return whole

    def all_reduce(self, part: Tensor) -> Tensor:
        """Return the sum of all ranks' tensors on every rank."""
        return self.all_reduce_each([part])[0]

    def all_reduce_each(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Return :meth:`all_reduce` of each of ``parts``, of one shape, by one exchange."""
        if self.size == 1:
            return list(parts)
        whole = torch.stack(list(parts))
        dist.all_reduce(whole)
        return list(whole)

    def all_gather_object(self, value: T) -> list[T]:
        """Return every rank's value on every rank, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def on_rank_zero(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function(*arguments)`` on rank 0 alone; return its result, or raise its error, on every rank.

        Tensors in the result must be on the CPU.
        """
        if self.size == 1:
            return function(*arguments)
        said: list[Any] = [None, None]  # the result and the error
        if self.is_rank_zero:
            try:
                said[0] = function(*arguments)
            except Exception as error:
                said[1] = error
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        if said[1] is not None:
            raise said[1]
        return said[0]

    def rank_zero_first(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function(*arguments)`` on every rank, on rank 0 before the others, who find what it left on disk."""
        results: list[T] = []

        def call() -> None:
            results.append(function(*arguments))

        self.on_rank_zero(call)
        if not self.is_rank_zero:
            call()
        return results[0]

    def context_on_rank_zero(self, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """Return ``context``, such as a lock, on rank 0, and one that does nothing on the others."""
        return context if self.is_rank_zero else nullcontext()

    def data_parallel(self, network: nn.Module) -> nn.Module:
        """Wrap ``network`` such that a backward pass averages gradients over the ranks.

        Batch normalisation takes the statistics of each rank's part of the batch; see ``broadcast_buffers``.
        """
        if self.size == 1:
            return network
        return DistributedDataParallel(network, broadcast_buffers=False, gradient_as_bucket_view=True)

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Give every rank the buffers of rank 0: running statistics, where each rank normalised by its own."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


SINGLE_PROCESS = World()


def current_world() -> World:
    """Return the ranks that :func:`world_from_environment` connected, within its block; elsewhere SINGLE_PROCESS."""
    if not dist.is_initialized():
        return SINGLE_PROCESS
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))


@contextmanager
def world_from_environment() -> Iterator[World]:
    """Connect the processes that torchrun started, if it did, for as long as the block lasts.

    Ranks other than 0 are silent and ignore Ctrl-C and SIGTERM: they end with rank 0. Where one fails, it alone
    says why, and all end with its status.

    Raises:
        UserError: torchrun's variables are there, but make no sense.
    """
    if any(name not in os.environ for name in _VARIABLES) or os.environ["WORLD_SIZE"] == "1":
        yield SINGLE_PROCESS
        return
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=_TIMEOUT))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"  # objects travel over the CPU
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the processes that torchrun started do not find one another: {error}") from error
    try:
        with ExitStack() as stack:
            if rank:
                stack.enter_context(_silenced())
                stack.enter_context(_ends_with_the_first(store))
            yield current_world()
    except BaseException as error:  # also Ctrl-C and SystemExit, which end the others too
        status = _status(error)
        if status and (ended := _ended(store, status)) is not None:
            raise SystemExit(ended) from None
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise UserError("another process of this run was killed or lost; started again, it goes on") from error
        raise
    finally:  # also where a rank failed: threads of the group that outlive the interpreter can abort the process
        gc.collect()  # networks that were trained in parallel hold the group, in cycles
        dist.destroy_process_group()


def _ended(store: dist.Store, status: int) -> int | None:
    """Publish this rank's exit status; return another rank's, where its failure came first, else None."""
    mine = f"{os.getpid()} {status}"
    try:
        found = store.compare_set(_ENDED, "", mine).decode()
    except RuntimeError:  # the store's process is gone, and with it whoever knew more
        return None
    return None if found == mine else int(found.split()[1])


@contextmanager
def _ends_with_the_first(store: dist.Store) -> Iterator[None]:
    """End this process, within the block, soon after another rank has published its exit status.

    A rank that waits for the others on a GPU hears of nothing, and torchrun kills it after 30 s only.
    """
    over = threading.Event()

    def watch() -> None:
        with suppress(RuntimeError):  # the store is gone, and torchrun with it
            while not over.wait(_BETWEEN_LOOKS):
                if store.check([_ENDED]):
                    if not over.wait(_TO_END_BY_ITSELF):
                        os._exit(int(store.get(_ENDED).split()[1]))
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _status(error: BaseException) -> int:
    """Return the exit status of ``error``, as :func:`utils.cli.run_main` gives it to the shell."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    statuses = {UserError: 2, Terminated: 128 + signal.SIGTERM, KeyboardInterrupt: 128 + signal.SIGINT}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 1)


@contextmanager
def _silenced() -> Iterator[None]:
    """Print nothing and ignore Ctrl-C and SIGTERM within the block."""
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
