"""The command line of ``landscape.py``: main.py's flags that say what is selected, and those of the landscape."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.arguments.flags import Groups, grouped, selecting
from experiments.arguments.parser import read_flags
from experiments.arguments.settings import filled, settings_of
from experiments.command_line import Settings
from experiments.landscape.config import LandscapeConfig
from utils.errors import UserError
from utils.flags import Flag, flags_of

_OWN = "Landscape"
_KEPT = {"seed", "batch"}  # of the flags of retraining: nothing is retrained here
_LEFT_OUT = {
    *("cross", "resume", "after_analyses", "exact_analyses", "profile", "backpack", "certificate"),
    *("select_only", "save_network"),
}
_CHANGES: dict[str, dict[str, Any]] = {
    "model": {"help": "the network to look around: {names}"},
    "seed": {"group": _OWN, "help": "of the proxy, the selection and the directions"},
    "batch": {"group": "Proxy training", "help": "images per step"},
    "coreset": {"group": _OWN, "help": "the coresets in these files"},
    "selection": {
        "default": (),
        "metavar": "NAME [NAME ...]",
        "help": "coresets that these methods select now: {names} (default: LCMat, without --coreset and --runs)",
    },
}


@dataclass(frozen=True)
class Command:
    """A whole command line.

    Attributes:
        settings: the data, the network and its training, and how the work is done; its selection has a proxy.
        selections: one for each method to select by now.
        landscape: what to look at, and where.
    """

    settings: Settings
    selections: tuple[Settings, ...]
    landscape: LandscapeConfig


def parse(argv: Sequence[str], *, description: str = "") -> Command:
    """Return what ``argv`` (without the program's name) asks for.

    Raises:
        UserError: an unknown flag or name, a value outside its bounds, or values that do not go together.
        SystemExit: with status 0, after ``--help``.
    """
    shown, hidden = landscaping()
    values, given = read_flags(argv, shown, "landscape.py", description)
    unused = {flag.name: flag.default for flag in hidden} | {"certificate": "no"}  # worst cases are measured below
    values = Namespace(**unused, **vars(values))
    landscape = filled(LandscapeConfig, values)
    if landscape.network and landscape.runs:
        raise UserError("--network and --runs exclude each other: runs are looked at where they were selected")
    methods = values.selection or (() if values.coreset or values.runs else ("LCMat",))
    network = _settings(values, given, selection="LCMat", coreset=(), features=None, scoring="evaluation")
    network = replace(network, coresets=values.coreset)
    return Command(network, tuple(_settings(values, given, selection=name, coreset=()) for name in methods), landscape)


def landscaping() -> tuple[Groups, tuple[Flag, ...]]:
    """Return the flags of ``landscape.py``, and those of main.py that it leaves at their defaults."""
    everything = [flag for members in selecting().values() for flag in members]
    hidden = tuple(
        flag for flag in everything if flag.name in _LEFT_OUT or (flag.group == "Retraining" and flag.name not in _KEPT)
    )
    shared = (replace(flag, **_CHANGES.get(flag.name, {})) for flag in everything if flag not in hidden)
    titles = (_OWN, "Data", "Network", "Selection", "Proxy training", "Output", "Machine")
    return grouped((*flags_of(LandscapeConfig, _OWN).values(), *shared), titles), hidden


def _settings(values: Namespace, given: frozenset[str], **changes: Any) -> Settings:
    return settings_of(Namespace(**{**vars(values), **changes}), given)
