"""LCMat-S over as many samples and classes as ImageNet has."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from benchmarks.measure import measured, peak, resident, table
from benchmarks.settings import EPS, NUM_DIMS
from benchmarks.shapes import imagenet
from methods.base import PickSettings, SelectionInputs
from methods.budgets import budgets_for
from methods.features import Features
from methods.greedy.optimizers import GREEDIES
from methods.greedy.pairwise_matrix import PairwiseMatrix
from methods.lcmat import LCMat
from methods.select import select
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset

_FRACTION = 0.1


def imagenet_shape() -> Iterator[str]:
    """Yield a table: seconds by phase, and the memory of the whole process with its inputs."""
    made = imagenet()
    inputs = resident()
    checked = measured(lambda: Features.of(made.embeddings, made.logits, made.labels))
    selected = measured(lambda: _select(made))
    threads = torch.get_num_threads()
    rows = [["check of the features", f"{checked.seconds:.1f}"]]
    rows += [
        [f"{phase}, on {threads} threads", f"{PhasedLCMat.seconds[phase] / threads:.1f}"]
        for phase in PhasedLCMat.seconds
    ]
    rows += [["the whole selection", f"{checked.seconds + selected.seconds:.1f}"]]
    sizes = np.bincount(made.labels)
    yield f"{len(made):,} samples of {len(sizes):,} classes of {sizes.min():,} to {sizes.max():,}, {_FRACTION:.0%}: "
    yield f"{selected.result:,} picks.\n"
    yield table(["phase", "seconds"], rows)
    yield f"\nThe process with its inputs of {inputs / 1e9:.1f} GB took {peak() / 1e9:.1f} GB at the most."


def _select(features: Features) -> int:
    budgets = budgets_for(features.labels, CoresetSize("fraction", _FRACTION), balance=True)
    return len(select(PhasedLCMat(eps=EPS, num_dims=NUM_DIMS), SelectionInputs(features.labels, features), budgets))


@dataclass(frozen=True)
class PhasedLCMat(LCMat):
    """LCMat with a clock: the seconds of each phase, added up over all classes and threads."""

    seconds: ClassVar[dict[str, float]] = defaultdict(float)
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Return LCMat's picks, timed phase by phase."""
        with self._phase("gradients and curvatures"):
            distance = self.distance(self.features_of(inputs))
        with self._phase("distances"):
            matrix = PairwiseMatrix(distance, settings.memory_budget)
        with self._phase("greedy"):
            return GREEDIES[self.greedy](self.set_function(matrix), budget, settings.seed)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        with self._lock:
            self.seconds[name] += time.perf_counter() - started
