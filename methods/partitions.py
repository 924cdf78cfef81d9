"""Facility location over more samples than can be compared in pairs: from parts, then from what these picked.

Parts of samples drawn at random follow GreeDi (Mirzasoleiman et al., Distributed Submodular Maximization, NeurIPS
2013): each part is picked from, the k that are wanted are picked from the union, and the best of that and of each
part's own k counts. Two things are decided here:

- Each part gives about 3k/P picks instead of k, for coresets that are no small part of the data: at k/n = 1 % and
  P = 100 a union of P·k would be everything.
- The second round picks from the union for all n samples, or for a random part of them where those would be too many
  pairs. The union alone does not show where the samples lie: each of its members would stand for itself.

Parts of samples near each other need no second round over pairs: what is picked in one hardly matters to another. The
picks of all parts are ranked by their gains. That is the greedy for the objective in which picks stand for samples of
their own part alone, a lower bound of the whole one. docs/methods.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from methods.base import Method, PickSettings, SelectionInputs
from methods.greedy.optimizers import GREEDIES
from methods.greedy.pairwise_matrix import CandidateRows, allowance
from methods.split import UNSPLIT, Split
from utils.data.coreset import Coreset
from utils.data.partitioned import Partitioned
from utils.distributed import SINGLE_PROCESS
from utils.seeding import derive_seed, generator

if TYPE_CHECKING:
    from methods.submodular import SetFunctionMethod

_OVER, _FEW = 3, 1000  # the parts pick together this many times k, or so many where k is small
_GROUND, _PAIRS = 50_000, 5 * 10**8  # at most: samples that the second round picks for, and their pairs with candidates
_SEEN = 10_000  # samples that the objective is measured over; of no more the full greedy is measured too
_CENTRES = 20  # samples for each centre of parts that those are picked from
_UNEVEN = 3  # times the mean is the largest part of samples near each other; more are split at random
_COPIES, _MOST_ROWS = 6, 4096  # float64 blocks that a block of distances takes, and its rows at most


def at_once(method: Method, split: Split, n: int, budget: int) -> int:
    """Return how many of n samples are in memory together at most, in a part or in the second round."""
    parts = split.number(n) if method.takes_partitions else 1
    if parts == 1:
        return n
    candidates = min(n, max(_OVER * budget, _FEW) + parts)
    return min(n + candidates, max(-(-_UNEVEN * n // parts), candidates + _ground(n, candidates)))


def pick_in_parts(
    method: SetFunctionMethod, inputs: SelectionInputs, budgets: Sequence[int], settings: PickSettings, parts: int
) -> list[Coreset]:
    """Pick each of ``budgets`` from ``inputs`` in two rounds.

    Args:
        method: maximises facility location.
        inputs: of the n samples.
        budgets: how many to pick, once or several times: the parts are picked from once, for all of them.
        settings: of the pick.
        parts: P, 2 … n.
    """
    world = settings.world
    look = _Look(method, method.compared(inputs), settings)
    members = (_near if settings.partitions.near else _random)(look, parts)
    first = _first_round(look, members, budgets, parts)
    coresets = world.on_rank_zero(_second_round, look, members, first, budgets)
    if not method.weighted:
        return coresets
    return [replace(each, weights=look.cluster_sizes(each)) for each in coresets]


def _first_round(look: _Look, members: Sequence[Tensor], budgets: Sequence[int], parts: int) -> list[list[Coreset]]:
    """Return what each part gives to each of the ``budgets``; ranks share the parts out."""
    mine, whole = look.settings.world.shard_by_size([len(part) for part in members]), look.whole
    picked = look.method.pick_classes(
        (look.inputs.subset(members[place]) for place in mine),
        [[_share(budget, look.n, len(members[place]), parts) for budget in budgets] for place in mine],
        [whole.with_seed(derive_seed(whole.seed, "part", place)) for place in mine],
    )
    found: dict[int, list[Coreset]] = {}
    for of_rank in look.settings.world.all_gather_object(dict(zip(mine, picked, strict=True))):
        found |= of_rank
    return [[each.mapped(part.cpu().numpy()) for each in found[place]] for place, part in enumerate(members)]


def _second_round(
    look: _Look, members: Sequence[Tensor], first: Sequence[Sequence[Coreset]], budgets: Sequence[int]
) -> list[Coreset]:
    """Return the best picks that come of those of the parts, of each budget, with what they came to."""
    n, near = look.n, look.settings.partitions.near
    full = look.method.pick_sizes(look.inputs, budgets, look.whole) if n <= _SEEN else None
    coresets = []
    for place, budget in enumerate(budgets):
        picked = [sizes[place] for sizes in first]
        candidates = sum(map(len, picked))
        together = not near or candidates <= _FEW
        second = _from_union(look, picked, budget) if together else _by_gain(picked, budget)
        rivals = [second, *(each for each in picked if len(each) == budget)]
        seen = [look.distances(each) for each in rivals]
        best = min(range(len(rivals)), key=lambda rival: seen[rival].mean)
        full_distance = None if full is None else look.distances(full[place]).mean
        record = Partitioned(
            n, len(members), near, candidates, len(look.seen), seen[best].mean, seen[best].largest, full_distance
        )
        coresets.append(replace(rivals[best], weights=None, partitioned=(record,)))
    return coresets


def _random(look: _Look, parts: int) -> list[Tensor]:
    """Return all samples in ``parts`` random parts, int64, each ascending; their sizes differ by one at most."""
    order = look.drawn("partition", look.n)
    return [part.sort().values for part in order.tensor_split(parts)]


def _near(look: _Look, parts: int) -> list[Tensor]:
    """Return all samples in parts, int64, each ascending: by the nearest of ``parts`` centres picked from some.

    A part that is too large, as one of copies is, is split at random.
    """
    some = look.drawn("centres", max(_SEEN // 5, _CENTRES * parts)).sort().values
    centres = look.method.pick(look.inputs.subset(some), parts, look.whole).mapped(some.cpu().numpy())
    owner = look.owners(centres)
    place = torch.empty_like(owner)
    place[look.drawn("partition", look.n)] = torch.arange(look.n, device=owner.device)
    members = []
    for own in owner.argsort(stable=True).split(owner.bincount(minlength=parts).tolist()):
        pieces = -(-len(own) * parts // (_UNEVEN * look.n))
        members += [piece.sort().values for piece in own[place[own].argsort()].tensor_split(pieces)] if pieces else []
    return members


def _share(budget: int, n: int, samples: int, parts: int) -> int:
    """Return how many of its samples a part gives to the union."""
    return min(budget, samples, max(-(-_OVER * budget * samples // n), -(-_FEW // parts)))


def _ground(n: int, candidates: int) -> int:
    """Return for how many of the n samples the second round picks."""
    return min(n, _GROUND, max(_SEEN, _PAIRS // candidates))


def _from_union(look: _Look, picked: Sequence[Coreset], budget: int) -> Coreset:
    """Pick from what all parts picked, for all samples, or for some drawn at random; gains are then estimates."""
    settings = look.whole
    union = torch.from_numpy(np.sort(np.concatenate([each.indices for each in picked]))).to(settings.device)
    ground = look.drawn("ground", _ground(look.n, len(union))).sort().values
    features = look.method.features_of(look.inputs.subset(torch.cat([ground, union])))
    rows = CandidateRows(look.method.distance(features), len(ground), settings.memory_budget)
    picks = GREEDIES[look.method.greedy](look.method.set_function(rows), budget, settings.seed)
    gains = None if picks.gains is None else picks.gains * (look.n / len(ground))
    return replace(picks, gains=gains).mapped(union.cpu().numpy())


def _by_gain(picked: Sequence[Coreset], budget: int) -> Coreset:
    """Return the picks of the largest gains, in their order; within a part no pick comes before an earlier one."""
    every = Coreset.concatenated(picked)
    falling = [np.minimum.accumulate(each.gains) for each in picked if each.gains is not None]
    return every.at(np.argsort(-np.concatenate(falling), kind="stable")[:budget])


@dataclass(frozen=True)
class _Distances:
    """Of samples to their nearest pick: the mean, and the largest to any pick."""

    mean: float
    largest: float


class _Look:
    """All samples of a selection, compared with picks in blocks of bounded memory.

    Attributes:
        n: how many there are.
        seen: those that objectives are measured over, int64, ascending.
        whole: the settings, of a pick from samples that are not split.
    """

    def __init__(self, method: SetFunctionMethod, inputs: SelectionInputs, settings: PickSettings) -> None:
        self.method, self.inputs, self.n, self.settings = method, inputs, len(inputs), settings
        self.whole = replace(settings, partitions=UNSPLIT, world=SINGLE_PROCESS)
        self.room = allowance(settings.memory_budget, settings.device)
        self.seen = self.drawn("seen", _SEEN).sort().values

    def drawn(self, purpose: str, count: int) -> Tensor:
        """Return at most ``count`` samples in random order, int64; each purpose has a draw of its own."""
        random = generator(self.settings.seed, purpose)
        return torch.randperm(self.n, generator=random)[:count].to(self.settings.device)

    def distances(self, picks: Coreset) -> _Distances:
        """Return the distances of the samples seen to ``picks``."""
        total, largest = 0.0, 0.0
        for away in self.blocks(picks, self.seen):
            total += float(away.amin(dim=1).sum())
            largest = max(largest, float(away.max()))
        return _Distances(total / len(self.seen), largest)

    def cluster_sizes(self, picks: Coreset) -> np.ndarray:
        """Return how many of all samples each pick is the nearest to, float32 [k]; the earlier of two as near."""
        return self.owners(picks).bincount(minlength=len(picks)).float().cpu().numpy()

    def owners(self, picks: Coreset) -> Tensor:
        """Return which pick each sample is the nearest to, int64 [n]; ranks share the samples out."""
        world = self.settings.world
        mine = torch.arange(self.n, device=self.seen.device)[world.shard(self.n)]
        parts = [away.argmin(dim=1) for away in self.blocks(picks, mine)]
        return world.all_gather(torch.cat(parts) if parts else mine, self.n)

    def blocks(self, picks: Coreset, samples: Tensor) -> Iterator[Tensor]:
        """Yield the distances of ``samples`` (int64 [m]) to ``picks``, float64 [b, k], some samples at a time."""
        k, indices = len(picks), torch.tensor(picks.indices, device=samples.device)
        for block in samples.split(max(1, min(_MOST_ROWS, self.room // (8 * k * _COPIES)))):
            features = self.method.features_of(self.inputs.subset(torch.cat([indices, block])))
            yield self.method.distance(features).exact(slice(k, None), slice(0, k))
