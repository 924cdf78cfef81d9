"""Class-incremental scenarios as settings: in which steps the classes come, and what is kept of those before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from utils.errors import UserError
from utils.flags import OneOf, flag, integer, switch
from utils.seeding import generator


@dataclass(frozen=True)
class Protocol:
    """What a network is trained on at each step, and from where.

    Attributes:
        continues: it goes on from the last step's network, instead of beginning anew.
        keeps_memory: it trains on a memory; without one it is a bound.
    """

    continues: bool
    keeps_memory: bool


PROTOCOLS: Mapping[str, Protocol] = {
    "memory": Protocol(continues=False, keeps_memory=True),
    "replay": Protocol(continues=True, keeps_memory=True),
    "joint": Protocol(continues=False, keeps_memory=False),
    "finetune": Protocol(continues=True, keeps_memory=False),
}


def read_class_order(text: str) -> tuple[int, ...]:
    """Read class numbers between commas, each once."""
    try:
        order = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"must be class numbers between commas, such as 2,0,1, not {text!r}") from None
    _check_once(order)
    return order


@dataclass(frozen=True)
class ScenarioConfig:
    """A class-incremental scenario; ``ipc`` or ``memory`` is None, both for a protocol without a memory."""

    steps: int = flag(5, "--steps", integer(1), "in how many steps the classes come", "N")
    first_step: int | None = flag(
        None, "--first_step", integer(1), "classes of the first step (default: as many as of the others)", "K"
    )
    order_seed: int = 0
    class_order: tuple[int, ...] = flag(
        (), "--class_order", read_class_order, "the classes' order itself, as numbers from 0", "C,C,..."
    )
    protocol: str = flag(
        "memory",
        "--protocol",
        OneOf("protocol", PROTOCOLS),
        "at each step train a fresh network on the memory alone (memory), go on from the last network on the step's "
        "data and the memory (replay); or a bound: a fresh network on all data so far (joint), go on on the step's "
        "data alone (finetune)",
    )
    ipc: int | None = flag(None, "--ipc", integer(1), "keep N images of each class (default: 20)", "N")
    memory: int | None = flag(
        None, "--memory", integer(1), "keep N images in all, shared out evenly over the classes seen", "N"
    )
    proxy_sees_memory: bool = switch(
        "--proxy_sees_memory", "train the proxy of a step's selection on the memory too, beside the step's data"
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScenarioConfig:
        """Return what ``dataclasses.asdict`` gave, read back from JSON."""
        return cls(**{**values, "class_order": tuple(values["class_order"])})

    @property
    def label(self) -> str:
        """The scenario in words, without its class order."""
        parts = [
            self.protocol,
            _counted(self.steps, "step", "steps"),
            _counted(self.first_step, "class first", "classes first"),
            _counted(self.ipc, "image a class", "images a class"),
            _counted(self.memory, "image", "images"),
            "proxy sees memory" if self.proxy_sees_memory else "",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def is_bound(self) -> bool:
        """Whether its protocol has no memory, and is there for comparison."""
        return not PROTOCOLS[self.protocol].keeps_memory

    @property
    def without_memory(self) -> ScenarioConfig:
        """The steps alone: what a scenario and its bounds share."""
        return replace(self, protocol="joint", ipc=None, memory=None, proxy_sees_memory=False, order_seed=0)

    def classes(self, num_classes: int) -> tuple[tuple[int, ...], ...]:
        """Return the classes of each step, each in ascending order.

        The classes after the first step are shared out evenly; where that leaves a rest, earlier steps get one more.

        Raises:
            UserError: more steps than classes, a class that comes twice or never, or too small a memory.
        """
        order = self.class_order or tuple(
            torch.randperm(num_classes, generator=generator(self.order_seed, "class order")).tolist()
        )
        _check_once(order)
        if sorted(order) != list(range(num_classes)):
            raise UserError(f"--class_order names {len(order)} classes; name each of 0 to {num_classes - 1} once")
        if self.memory is not None and self.memory < num_classes:
            raise UserError(
                f"a memory of {self.memory} images is smaller than the {num_classes} classes; "
                f"give --memory {num_classes} or more"
            )
        steps, start, sizes = [], 0, self._sizes(num_classes)
        for size in sizes:
            steps.append(tuple(sorted(order[start : start + size])))
            start += size
        return tuple(steps)

    def quota(self, classes_seen: int) -> int:
        """Return how many images of each class the memory has room for."""
        return self.ipc if self.ipc is not None else (self.memory or 0) // classes_seen

    def _sizes(self, num_classes: int) -> list[int]:
        """Return how many classes each step has."""
        first, later = ([], self.steps) if self.first_step is None else ([self.first_step], self.steps - 1)
        left = num_classes - sum(first)
        if left < later or (left and not later):
            begins = f" of which the first has {self.first_step}" if first else ""
            raise UserError(
                f"{self.steps} steps{begins} do not share out {num_classes} classes, at least one for each step; "
                "try fewer --steps" + (" or another --first_step" if first else "")
            )
        return first + [left // later + (step < left % later) for step in range(later)]


def _counted(count: int | None, one: str, several: str) -> str:
    return "" if count is None else f"{count} {one if count == 1 else several}"


def _check_once(order: tuple[int, ...]) -> None:
    twice = next((each for each in order if order.count(each) > 1), None)
    if twice is not None:
        raise UserError(f"--class_order names class {twice} twice; each class comes once")
