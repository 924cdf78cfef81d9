"""LCMat-S the dense way, as its released code goes about it: the yardstick of ``benchmarks.selection``.

Every sample's gradient and Hessian diagonal whole (BackPACK), the curvature term by broadcasting, every gain anew
for every pick. The broadcast takes two n × n × K temporaries, and one where it is kinder and works in place. It runs in
a process of its own with torch's own settings, and once with the huge pages that ``utils`` turns on here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from backpack import backpack, extend
from backpack.extensions import BatchDiagHessian, BatchGrad
from torch import Tensor, nn

from benchmarks.measure import Elsewhere, measured, table, taking_turns
from benchmarks.settings import EPS, NUM_DIMS, lcmat
from benchmarks.shapes import one_class
from methods.features import Features
from utils.memory import free_memory

_N, _SHARES = 5000, (0.01, 0.1)
_SMALL = 1000  # samples, where the dense way is taken in float64
_BATCH = 256
_TEMPORARIES = 2  # n × n × K of them, float32; all else takes a twentieth of that


def against_dense(repeats: int) -> Iterator[str]:
    """Yield a table: seconds, their ratio, memory, and how many picks are the same."""
    rows = [_row(way, n, round(n * share), repeats) for way, n in _ways() for share in _SHARES]
    titles = ["picks", "dense way", "dense (s)", "here (s)", "ratio", "dense (MB)", "here (MB)", "picks shared"]
    yield table(titles, rows)
    features, budget = one_class(_SMALL, dtype=torch.float64), _SMALL // 10
    same = np.array_equal(lcmat(features, budget / _SMALL), dense_lcmat(features, budget))
    yield f"\nIn float64 ({budget} of {_SMALL}) the picks are {'the same' if same else 'NOT the same'}."


@dataclass(frozen=True)
class _Way:
    """A dense implementation, and the process that runs it."""

    name: str
    in_place: bool
    process: Elsewhere


def _ways() -> list[tuple[_Way, int]]:
    """Return each dense way with its number of samples: as many of the class as fit into memory."""
    default, huge_pages = (Elsewhere(THP_MEM_ALLOC_ENABLE=value) for value in ("0", "1"))
    room = 0.9 * free_memory(torch.device("cpu"))
    fitting = [n for n in range(500, _N + 1, 500) if 1.05 * _TEMPORARIES * n * n * NUM_DIMS * 4 <= room]
    return [
        (_Way("plain", False, default), max(fitting)),
        (_Way("plain, huge pages", False, huge_pages), max(fitting)),
        (_Way("in place", True, default), _N),
    ]


def _row(way: _Way, n: int, budget: int, repeats: int) -> list[str]:
    features = one_class(n)
    here, there = taking_turns(
        partial(measured, partial(lcmat, features, budget / n)),
        partial(way.process.measured, partial(dense_lcmat, features, budget, way.in_place)),
        repeats=repeats,
    )
    shared = len(np.intersect1d(here.result, there.result)) / budget
    ratio = f"{there.seconds / here.seconds:.0f}×"
    memory = [f"{each.peak_bytes / 1e6:,.0f}" for each in (there, here)]
    seconds = [f"{there.seconds:.1f}", f"{here.seconds:.2f}"]
    return [f"{budget} of {n:,}", way.name, *seconds, ratio, *memory, f"{shared:.0%}"]


def dense_lcmat(features: Features, budget: int, in_place: bool = False) -> np.ndarray:
    """Return the picks of LCMat the dense way, int64 [budget]."""
    gradients, hessians = derivatives(features)  # [n, C(d + 1)] each
    top = hessians.var(dim=0).topk(NUM_DIMS).indices
    h = hessians[:, top]  # [n, K]
    differences = h[:, None] - h  # [n, n, K]
    curvature = (differences.abs_() if in_place else differences.abs()).sum(dim=-1)  # [n, n]
    del differences
    distance = torch.cdist(gradients, gradients) + EPS * curvature
    return naive_greedy(distance.max() - distance, budget)


def derivatives(features: Features) -> tuple[Tensor, Tensor]:
    """Return g and h of every sample's own loss, bias first, [n, C(d + 1)] each."""
    z, classes = features.embeddings, features.logits.shape[1]
    layer = extend(nn.Linear(z.shape[1], classes).to(z.dtype))
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.lstsq(z, features.logits).solution.T)
        layer.bias.zero_()
    loss = extend(nn.CrossEntropyLoss(reduction="sum"))
    gradients, hessians = [], []
    for inputs, labels in zip(z.split(_BATCH), features.labels.split(_BATCH), strict=True):
        with backpack(BatchGrad(), BatchDiagHessian()):
            loss(layer(inputs.detach().requires_grad_()), labels).backward()
        gradients.append(torch.cat([layer.bias.grad_batch, layer.weight.grad_batch.flatten(1)], dim=1))
        hessians.append(torch.cat([layer.bias.diag_h_batch, layer.weight.diag_h_batch.flatten(1)], dim=1))
        layer.zero_grad()
    return torch.cat(gradients), torch.cat(hessians)


def naive_greedy(similarity: Tensor, budget: int) -> np.ndarray:
    """Return the picks of facility location over ``similarity`` [n, n], int64 [budget]."""
    current = torch.zeros(len(similarity), dtype=similarity.dtype)
    picks: list[int] = []
    for _ in range(budget):
        gains = (similarity - current[:, None]).clamp_(min=0).sum(dim=0)
        gains[picks] = -torch.inf
        picks.append(int(gains.argmax()))
        current = torch.maximum(current, similarity[picks[-1]])
    return np.array(picks)
