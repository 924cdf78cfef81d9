"""One parser for every entry script: ``parse`` turns a command line into Settings."""

from utils.arguments.choices import OPTION_FLAGS, Choices, Condition, MethodInfo, Spelling
from utils.arguments.flags import Flag, flags
from utils.arguments.parser import parse, read_flags

__all__ = ["OPTION_FLAGS", "Choices", "Condition", "Flag", "MethodInfo", "Spelling", "flags", "parse", "read_flags"]
