"""One parser for every entry script: ``parse`` turns a command line into Settings."""

from experiments.arguments.choices import OPTION_FLAGS, Choices, Condition, MethodInfo, Spelling
from experiments.arguments.flags import Flag, flags
from experiments.arguments.parser import parse, read_flags

__all__ = ["OPTION_FLAGS", "Choices", "Condition", "Flag", "MethodInfo", "Spelling", "flags", "parse", "read_flags"]
