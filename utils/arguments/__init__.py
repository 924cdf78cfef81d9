"""One parser for every entry script: ``parse`` turns a command line into Settings."""

from utils.arguments.choices import OPTION_FLAGS, Choices, Condition, MethodInfo, Spelling
from utils.arguments.parser import parse

__all__ = ["OPTION_FLAGS", "Choices", "Condition", "MethodInfo", "Spelling", "parse"]
