"""Picking from several classes at once in threads, as many as cores and memory allow."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from methods.greedy.pairwise_matrix import allowance, roomy_bytes
from utils.data.coreset import Coreset
from utils.threads import at_most

if TYPE_CHECKING:
    from methods.base import Method, PickSettings, SelectionInputs


def pick_in_threads(
    method: Method,
    classes: Iterable[SelectionInputs],
    budgets: Sequence[Sequence[int]],
    settings: Sequence[PickSettings],
) -> list[list[Coreset]]:
    """Pick from each class in a thread of its own; return the picks in the order of the classes.

    On matrices of a few thousand rows a core for each class is faster than all cores on one class.

    Args:
        method: what picks.
        classes: inputs of each class, taken one by one as memory becomes free.
        budgets: how many to pick from each, once or several times.
        settings: of each pick; the memory budget of the first is shared by all.
    """
    cores = torch.get_num_threads()
    workers = min(cores, len(budgets))
    if workers == 1:
        return [method.pick_sizes(*each) for each in zip(classes, budgets, settings, strict=True)]
    room = allowance(settings[0].memory_budget, settings[0].device)
    queue = _Queue(method, zip(classes, budgets, settings, strict=True), room, workers)
    picks: dict[int, list[Coreset]] = {}

    def work() -> None:
        while (job := queue.take()) is not None:
            try:
                picks[job.position] = method.pick_sizes(job.inputs, job.budgets, job.settings)
            finally:
                queue.give_back(job)

    with at_most(cores // workers), ThreadPoolExecutor(workers) as pool:
        try:
            done, _ = wait([pool.submit(work) for _ in range(workers)], return_when=FIRST_EXCEPTION)
        finally:
            queue.close()
        for future in done:
            future.result()
    return [picks[position] for position in range(len(budgets))]


@dataclass(frozen=True, eq=False)
class _Job:
    """A class to pick from, and the bytes set aside for it."""

    position: int
    inputs: SelectionInputs
    budgets: Sequence[int]
    settings: PickSettings
    bytes: int


class _Queue:
    """Hands out classes one by one, each with memory enough to hold its matrix, or with all there is.

    Args:
        method: what picks.
        classes: inputs, budgets and settings of each.
        room: bytes that all classes under way may take together.
        workers: threads that share them.
    """

    def __init__(
        self,
        method: Method,
        classes: Iterable[tuple[SelectionInputs, Sequence[int], PickSettings]],
        room: int,
        workers: int,
    ) -> None:
        self.method, self.classes, self.room, self.share = method, enumerate(classes), room, room // workers
        self.taken, self.open = 0, True
        self.turn, self.changed = threading.Lock(), threading.Condition()

    def take(self) -> _Job | None:
        """Return the next class once there is memory for it; None after the last, or once closed."""
        with self.turn:
            following = next(self.classes, None)
            if following is None:
                return None
            position, (inputs, budgets, settings) = following
            dtype = torch.float64 if inputs.features is None else inputs.features.embeddings.dtype
            wanted = roomy_bytes(len(inputs), dtype) + self.method.least_memory(inputs, len(inputs), max(budgets))
            needed = min(self.room, max(self.share, wanted))
            with self.changed:
                self.changed.wait_for(lambda: not self.open or self.taken + needed <= self.room)
                if not self.open:
                    return None
                self.taken += needed
            return _Job(position, inputs, budgets, replace(settings, memory_budget=needed), needed)

    def give_back(self, job: _Job) -> None:
        """Free the memory of a class that is done."""
        with self.changed:
            self.taken -= job.bytes
            self.changed.notify_all()

    def close(self) -> None:
        """Hand out no more classes, and wake those who wait for one."""
        with self.changed:
            self.open = False
            self.changed.notify_all()
