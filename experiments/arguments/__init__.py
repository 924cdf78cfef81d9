"""The command line of the scripts that select: ``parse`` turns it into Settings."""

from experiments.arguments.settings import parse

__all__ = ["parse"]
