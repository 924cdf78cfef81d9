"""From a command line to the value of every flag: argparse splits it, and one line says what is wrong with it."""

from __future__ import annotations

import argparse
import difflib
import shutil
from collections.abc import Sequence
from typing import Any

from experiments.arguments.flags import Groups
from utils.cli import Parser
from utils.errors import UserError
from utils.flags import Flag, yes_no, yes_no_or_path


def read_flags(
    argv: Sequence[str], groups: Groups, program: str, description: str = ""
) -> tuple[argparse.Namespace, frozenset[str]]:
    """Return the value of every flag of ``groups``, under its name, and the names of those that ``argv`` gives.

    Raises:
        UserError: an unknown flag, or a value outside its bounds.
        SystemExit: with status 0, after ``--help``.
    """
    parser = _parser(groups, program, description)
    _refuse_unknown(argv, groups, program)
    namespace, stray = parser.parse_known_args(list(argv))
    if stray:
        raise UserError(f"unexpected argument {stray[0]!r}; every value follows its flag, see {program} --help")
    flags = {flag.name: flag for group in groups.values() for flag in group}
    values = {name: flag.default for name, flag in flags.items()}
    for name, answers in vars(namespace).items():
        values[name] = [_read(flags[name], each, program) for each in answers][-1]  # the last, but none may be wrong
    return argparse.Namespace(**values), frozenset(vars(namespace))


def _read(flag: Flag, texts: str | list[str], program: str) -> Any:
    """Return the value of one flag, or the tuple of its different values."""
    read: Any = flag.read
    try:
        return read(texts) if isinstance(texts, str) else tuple(dict.fromkeys(map(read, texts)))
    except UserError as error:
        raise UserError(f"{flag.names.replace(' ', '/')}: {error}; see {program} --help") from error


class _Formatter(argparse.HelpFormatter):
    """At most 100 columns; a flag's value shown once, after all its names."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=38, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(action.option_strings)
        return f"{names} {action.metavar}" if action.metavar else names


def _parser(groups: Groups, program: str, description: str) -> Parser:
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
                action="append",
                metavar=flag.metavar,
                help=_help(flag),
                **_arity(flag),
            )
    return parser


def _arity(flag: Flag) -> dict[str, Any]:
    if flag.read in (yes_no, yes_no_or_path):
        return {"nargs": "?", "const": "yes"}
    return {"nargs": "+"} if flag.several else {}


def _help(flag: Flag) -> str:
    text, default = flag.help, flag.default
    if default is not None and default != () and "(default: " not in text:
        shown = ("no", "yes")[default] if isinstance(default, bool) else default
        text += f" (default: {' '.join(map(str, shown)) if isinstance(shown, tuple) else shown})"
    return text.replace("%", "%%")


def _refuse_unknown(argv: Sequence[str], groups: Groups, program: str) -> None:
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
