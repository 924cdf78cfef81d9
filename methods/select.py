"""Selection by any method: the picks of all classes in one coreset, for one size or for several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs
from methods.budgets import ALL
from methods.features import SharedFeatures
from methods.partitions import at_once
from methods.prune import Prune
from methods.split import UNSPLIT, Split
from utils.data.coreset import Coreset
from utils.device import moved
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.notes import note_once
from utils.seeding import derive_seed

Budgets = Mapping[int, int]  # how many to pick from each class, or over ALL


def select(
    method: Method,
    inputs: SelectionInputs,
    budgets: Budgets,
    *,
    seed: int = 0,
    memory_budget: int | None = None,
    prune: Prune | None = None,
    partitions: Split = UNSPLIT,
    world: World = SINGLE_PROCESS,
) -> Coreset:
    """Select as many samples of each class in ``inputs`` as ``budgets`` says, by ``method``.

    Args:
        method: what selects.
        inputs: at least what ``method`` needs.
        budgets: of every class, in ascending order; the coreset then holds class after class. Or of ALL.
        seed: of the method's random choices.
        memory_budget: bytes to take beyond the inputs; None: half of what is free. A note says where they may not do.
        prune: which samples to leave out first, of each class or of all; it needs ``inputs.difficulty``.
        partitions: how each class, or all, is split into parts that facility location picks from first
            (methods/partitions.py); other methods pick from all at once.
        world: the processes that share out the classes, or where there are fewer of these the parts of each; what is
            not split and selected from at once rank 0 selects from for all.

    Raises:
        UserError: an input that the method needs and lacks.
    """
    (coreset,) = select_nested(
        method,
        inputs,
        [budgets],
        seed=seed,
        memory_budget=memory_budget,
        prune=prune,
        partitions=partitions,
        world=world,
    )
    return coreset


def select_nested(
    method: Method,
    inputs: SelectionInputs,
    wanted: Sequence[Budgets],
    *,
    seed: int = 0,
    memory_budget: int | None = None,
    prune: Prune | None = None,
    partitions: Split = UNSPLIT,
    world: World = SINGLE_PROCESS,
) -> list[Coreset]:
    """Select each of the ``wanted`` coresets, by one selection where the method's picks are nested; see ``select``.

    The one selection takes of each class the most that any of them asks for: under largest remainders a class may give
    fewer samples to the larger coreset.
    """
    device = inputs.labels.device if inputs.features is None else inputs.features.labels.device
    settings = PickSettings(seed, device, memory_budget, partitions)
    labels, members = list(wanted[0]), _members(inputs, wanted[0], prune)
    if memory_budget is not None:
        most = {label: max(budgets[label] for budgets in wanted) for label in members}
        needed = max(
            method.least_memory(inputs, at_once(method, partitions, len(own), most[label]), most[label])
            for label, own in members.items()
        )
        if memory_budget < needed:
            note_once(
                f"{type(method).__name__} may take {math.ceil(needed / 1e5) / 10} MB beyond its inputs, more than the "
                f"memory budget of {memory_budget / 1e6:.1f} MB"
            )
    picks_of: dict[int, list[Coreset]] = {}
    split = method.takes_partitions and max(partitions.number(len(own)) for own in members.values()) > 1
    if split and len(labels) < world.size:
        features = None if inputs.features is None else inputs.features.everywhere()
        inputs = replace(inputs, features=features)
        for label, own in members.items():
            sizes, its = [budgets[label] for budgets in wanted], settings.with_seed(_class_seed(seed, label))
            picks_of[label] = method.pick_sizes(inputs.subset(own, label), sizes, replace(its, world=world))
    elif ALL in members:
        sizes = [budgets[ALL] for budgets in wanted]
        inputs = _with_owners(inputs, members, {ALL: 0})
        left = inputs if prune is None else inputs.subset(members[ALL])
        picks_of[ALL] = world.on_rank_zero(method.pick_sizes, left, sizes, settings)
    else:
        shares = [[labels[place] for place in each] for each in world.all_shards_by_size(map(len, members.values()))]
        inputs = _with_owners(inputs, members, {label: rank for rank, own in enumerate(shares) for label in own})
        mine = shares[world.rank]
        picked = method.pick_classes(
            (inputs.subset(members[label], label) for label in mine),
            [[budgets[label] for budgets in wanted] for label in mine],
            [settings.with_seed(_class_seed(seed, label)) for label in mine],
        )
        for part in world.all_gather_object(dict(zip(mine, picked, strict=True))):
            picks_of |= part
    own = torch.cat([members[label] for label in labels]).cpu().split([len(members[label]) for label in labels])
    numbers = {label: each.numpy() for label, each in zip(labels, own, strict=True)}
    return [
        Coreset.concatenated([picks_of[label][place].mapped(numbers[label]) for label in labels])
        for place in range(len(wanted))
    ]


def _class_seed(seed: int, label: int) -> int:
    """Return the seed of a class, or of all at once."""
    return seed if label == ALL else derive_seed(seed, "class", label)


def _with_owners(inputs: SelectionInputs, members: Mapping[int, Tensor], owners: Mapping[int, int]) -> SelectionInputs:
    """Return the inputs; of features that ranks share, each then holds those of the classes that it owns."""
    if not isinstance(inputs.features, SharedFeatures):
        return inputs
    owner = inputs.labels.new_full((len(inputs),), -1)
    for label, rank in owners.items():
        owner[members[label]] = rank
    return replace(inputs, features=inputs.features.exchanged(owner))


def _members(inputs: SelectionInputs, budgets: Budgets, prune: Prune | None) -> dict[int, Tensor]:
    """Return the samples to select from, int64 [m], of each class, or of ALL, less those that are pruned."""
    if ALL in budgets:
        members = {ALL: torch.arange(len(inputs), device=inputs.labels.device)}
    else:
        ordered, order = inputs.labels.sort(stable=True)
        starts = torch.searchsorted(ordered, moved(torch.tensor(list(budgets)), ordered.device)).tolist()
        members = dict(zip(budgets, order.tensor_split(starts[1:]), strict=True))
    if prune is None:
        return members
    if inputs.difficulty is None:
        raise UserError(f"prune {prune} needs {Need.DIFFICULTY.value}: pass scores=")
    difficulty = inputs.difficulty
    return {label: own[prune.kept(difficulty[own])] for label, own in members.items()}
