"""The command line of selecting scripts: its flags, their values, and the settings that they ask for."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.arguments.flags import selecting
from experiments.arguments.idle_flags import idle_flags, print_notes
from experiments.arguments.parser import read_flags
from experiments.arguments.settings import asked_method, settings_of
from experiments.command_line import Settings


def parse(argv: Sequence[str], *, program: str, description: str = "", cross: tuple[str, ...] = ()) -> Settings:
    """Return the settings that ``argv`` (without the program's name) asks for.

    What the chosen method, optimiser or schedule does not take is left out, or at its default: it changes neither
    the result nor the run's name. A flag that is given but has no part in what is asked for is named on stderr, in
    a ``note: …`` line.

    Args:
        cross: the default of ``--cross``.

    Raises:
        UserError: an unknown flag, name or device, a value outside its bounds, or values that do not go together.
        SystemExit: with status 0, after ``--help``.
    """
    values, given = read_flags(argv, selecting(cross), program, description)
    settings = settings_of(values, given)
    print_notes(idle_flags(values, settings, asked_method(values)[1]), given)
    return settings
