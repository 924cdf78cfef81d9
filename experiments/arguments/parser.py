"""The command line: argparse splits it, the flags read it, and one line says what is wrong with it."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.arguments.choices import Choices
from experiments.arguments.flags import Flag, flags
from experiments.arguments.settings import build
from experiments.arguments.types import yes_no
from utils.cli import Parser
from utils.config import Settings
from utils.errors import UserError


def parse(argv: Sequence[str], *, program: str, choices: Choices, description: str = "") -> Settings:
    """The settings that ``argv`` (without the program's name) asks for.

    A flag that is given but has no part in what is asked for is named on stderr, in a ``note: …`` line.

    Raises:
        UserError: an unknown flag, name or device, or a value outside its bounds.
        SystemExit: with status 0, after ``--help``.
    """
    values, given = read_flags(argv, flags(choices), program, description)
    settings, notes = build(values, given, choices)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return settings


def read_flags(
    argv: Sequence[str], groups: Mapping[str, tuple[Flag, ...]], program: str, description: str = ""
) -> tuple[argparse.Namespace, frozenset[str]]:
    """The value of every flag of ``groups``, under its name, and the names of those that ``argv`` gives.

    Raises:
        UserError: an unknown flag, or a value outside its bounds.
        SystemExit: with status 0, after ``--help``.
    """
    parser = _parser(groups, program, description)
    _refuse_unknown(argv, groups, program)
    namespace, stray = parser.parse_known_args(list(argv))
    if stray:
        raise UserError(f"unexpected argument {stray[0]!r}; every value follows its flag, see {program} --help")
    given = {name: _value(value) for name, value in vars(namespace).items()}
    defaults = {flag.name: flag.default for group in groups.values() for flag in group}
    return argparse.Namespace(**{**defaults, **given}), frozenset(given)


class _Formatter(argparse.HelpFormatter):
    """At most 100 columns; a flag's value shown once, after all its names."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=38, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(action.option_strings)
        return f"{names} {action.metavar}" if action.metavar else names


def _parser(groups: Mapping[str, tuple[Flag, ...]], program: str, description: str) -> Parser:
    parser = Parser(
        prog=program,
        usage="%(prog)s [--flag value ...]",
        description=description,
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for title, members in groups.items():
        group = parser.add_argument_group(title)
        for flag in members:
            group.add_argument(
                *flag.names.split(),
                dest=flag.name,
                type=flag.read,
                metavar=flag.metavar,
                help=_help(flag),
                **_arity(flag),
            )
    return parser


def _arity(flag: Flag) -> dict[str, Any]:
    if flag.read is yes_no:
        return {"nargs": "?", "const": True}
    return {"nargs": "+"} if flag.several else {}


def _help(flag: Flag) -> str:
    if flag.default is None or flag.default == () or "(default: " in flag.help:
        text = flag.help
    elif isinstance(flag.default, bool):
        text = f"{flag.help} (default: {'yes' if flag.default else 'no'})"
    elif isinstance(flag.default, tuple):
        text = f"{flag.help} (default: {' '.join(str(part) for part in flag.default)})"
    else:
        text = f"{flag.help} (default: {flag.default})"
    return text.replace("%", "%%")


def _value(value: Any) -> Any:
    return tuple(dict.fromkeys(value)) if isinstance(value, list) else value


def _refuse_unknown(argv: Sequence[str], groups: Mapping[str, tuple[Flag, ...]], program: str) -> None:
    """Refuse what argparse, in some versions, reads as something else.

    Those are beginnings of one-dash aliases, and a value ``--``, which it takes away.
    """
    names = {name for group in groups.values() for flag in group for name in flag.names.split()}
    names |= {"-h", "--help"}
    for text in argv:
        if not text.startswith("-") or _is_number(text):
            continue
        asked, _, value = text.partition("=")
        if names.isdisjoint({asked, text[:2]}):
            near = difflib.get_close_matches(asked, sorted(names), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(f"unknown flag {text!r}{hint}; see {program} --help")
        if "--" in (value, text[2:]):
            raise UserError(f"unexpected value '--' in {text!r}; see {program} --help")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
