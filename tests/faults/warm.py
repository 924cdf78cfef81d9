"""Imported once, in the process that attempts are forked from: everything that a run needs."""

from __future__ import annotations

import pytest
import torch

import cross_network_generalization
import main

__all__ = ["cross_network_generalization", "main", "pytest"]

torch.set_num_threads(1)
