"""Command lines of ``main.py`` as the tests write them, and all of its flags."""

from __future__ import annotations

import shlex

from experiments.arguments import parse
from experiments.arguments.flags import selecting
from experiments.command_line import Settings

GROUPS = selecting()
MEMBERS = [flag for group in GROUPS.values() for flag in group]


def read(line: str = "") -> Settings:
    return parse(shlex.split(line), program="main.py")
