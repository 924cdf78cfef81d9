"""Ways in which one of two processes ends, for test_distributed.py: ``RANK=0 … python ending_ranks.py NAME``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from utils.cli import run_main
from utils.distributed import World, world_from_environment
from utils.errors import UserError


def refused(world: World) -> None:
    """By both, for the same reason."""
    raise UserError("nobody can do this")


def failed(world: World) -> None:
    """The second, while the first waits for it."""
    if world.rank == 1:
        raise UserError("the second rank has had enough")
    world.all_gather_object(None)


def killed(world: World) -> None:
    """The second, while the first waits for it."""
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    world.all_gather_object(None)


def stopped(world: World) -> None:
    """The first, by the SIGTERM that both are sent, while the second waits for it."""
    os.kill(os.getpid(), signal.SIGTERM)
    if world.is_rank_zero:
        time.sleep(60)
    world.all_gather_object(None)


def deaf(world: World) -> None:
    """The first, by Ctrl-C, while the second waits for it as one does on a GPU, hearing of nothing."""
    if world.rank == 1:
        time.sleep(600)
    raise KeyboardInterrupt


ENDS: dict[str, Callable[[World], None]] = {each.__name__: each for each in (refused, failed, killed, stopped, deaf)}


def main() -> None:
    with world_from_environment() as world:
        print("speaking")
        ENDS[sys.argv[1]](world)


if __name__ == "__main__":
    raise SystemExit(run_main(main))
