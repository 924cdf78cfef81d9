"""Selection by any method: how many samples each class gives, and the picks of all classes in one coreset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from methods.base import Method, Need, PickSettings, SelectionInputs
from methods.prune import Prune
from utils.data.coreset import Coreset
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.seeding import derive_seed


def budgets_for(labels: Tensor, fraction: float, balance: bool, prune: Prune | None = None) -> dict[int, int]:
    """Return how many samples to pick from each class that is present, or {-1: how many to pick over all}.

    Args:
        labels: int64 [n].
        fraction: in (0, 1]; a class of n_c samples gives round(fraction · n_c).
        balance: whether to pick class by class.
        prune: what leaves out samples first; fractions are of all samples nevertheless.

    Raises:
        UserError: a fraction outside (0, 1], one that leaves a class with nothing (names the smallest that works), or
            one that asks for more than ``prune`` leaves.
    """
    if not (isinstance(fraction, Real) and 0 < fraction <= 1):
        raise UserError(f"fraction {fraction} is outside (0, 1]; 0.1 keeps one sample in ten")
    if not len(labels):
        raise UserError("there are no samples to select from")
    if balance:
        classes, counts = labels.unique(return_counts=True)
        sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    else:
        sizes = {-1: len(labels)}
    budgets = {label: round(fraction * size) for label, size in sizes.items()}
    short = [label for label, budget in budgets.items() if prune is not None and budget > prune.left(sizes[label])]
    if short and prune is not None:
        left = f"{prune.left(sizes[short[0]])} of {sizes[short[0]]} samples" + (
            f" of class {short[0]}" if balance else ""
        )
        raise UserError(f"prune {prune} leaves {left}, fewer than fraction {fraction:g} asks for; take less of either")
    if min(budgets.values()) == 0:
        label = min(sizes, key=lambda key: sizes[key])
        whose = "the data set" if label == -1 else f"class {label}"
        raise UserError(
            f"fraction {fraction:g} gives none of the {sizes[label]} samples of {whose}; "
            f"the smallest that works is {smallest_fraction(sizes[label]):g}"
        )
    return budgets


def smallest_fraction(size: int) -> float:
    """Return the smallest fraction of four significant digits at which ``size`` samples give one."""
    digits = 4 + math.ceil(math.log10(size))
    step = 10.0**-digits
    fraction = round(math.ceil(0.5 / size / step) * step, digits)
    return fraction if round(fraction * size) >= 1 else round(fraction + step, digits)


def select(
    method: Method,
    inputs: SelectionInputs,
    fraction: float,
    *,
    balance: bool = True,
    seed: int = 0,
    memory_budget: int | None = None,
    prune: Prune | None = None,
    world: World = SINGLE_PROCESS,
) -> Coreset:
    """Select ``fraction`` of the samples in ``inputs`` by ``method``.

    Args:
        method: what selects.
        inputs: at least what ``method`` needs.
        fraction: in (0, 1].
        balance: whether to select from each class separately; the coreset then holds class after class.
        seed: of the method's random choices.
        memory_budget: bytes to take beyond the inputs; None: half of what is free.
        prune: which samples to leave out first, of each class or of all; it needs ``inputs.difficulty``.
        world: the processes that share the classes; without balance rank 0 selects for all.

    Raises:
        UserError: a fraction out of range, or an input that the method needs and lacks.
    """
    budgets = budgets_for(inputs.labels, fraction, balance, prune)
    device = inputs.labels.device if inputs.features is None else inputs.features.embeddings.device
    settings = PickSettings(seed, device, memory_budget)
    members = _members(inputs, budgets, prune)
    if not balance:
        picks = world.on_rank_zero(method.pick, inputs.subset(members[-1]), budgets[-1], settings)
        return picks.mapped(members[-1].cpu().numpy())
    labels = list(budgets)
    mine = [labels[place] for place in world.shard_by_size([len(members[label]) for label in labels])]
    picked = method.pick_classes(
        (inputs.subset(members[label], label) for label in mine),
        [budgets[label] for label in mine],
        [settings.with_seed(derive_seed(seed, "class", label)) for label in mine],
    )
    picks_of: dict[int, Coreset] = {}
    for part in world.all_gather_object(dict(zip(mine, picked, strict=True))):
        picks_of |= part
    return Coreset.concatenated([picks_of[label].mapped(members[label].cpu().numpy()) for label in labels])


def _members(inputs: SelectionInputs, budgets: Iterable[int], prune: Prune | None) -> dict[int, Tensor]:
    """Return the samples to select from, int64 [m], of each class, or of all under -1, less those that are pruned."""
    labels = list(budgets)
    if labels == [-1]:
        members = {-1: torch.arange(len(inputs), device=inputs.labels.device)}
    else:
        counts = inputs.labels.unique(return_counts=True)[1].tolist()
        members = dict(zip(labels, inputs.labels.argsort(stable=True).split(counts), strict=True))
    if prune is None:
        return members
    if inputs.difficulty is None:
        raise UserError(f"prune {prune} needs {Need.DIFFICULTY.value}: pass scores=")
    difficulty = inputs.difficulty
    return {label: own[prune.kept(difficulty[own])] for label, own in members.items()}


def select_fractions(
    method: Method,
    inputs: SelectionInputs,
    fractions: Sequence[float],
    *,
    balance: bool = True,
    seed: int = 0,
    memory_budget: int | None = None,
    prune: Prune | None = None,
    world: World = SINGLE_PROCESS,
) -> dict[float, Coreset]:
    """Select each of ``fractions``, by one selection for all where the method's picks are nested; see ``select``."""
    of = partial(
        select, method, inputs, balance=balance, seed=seed, memory_budget=memory_budget, prune=prune, world=world
    )
    if not method.nested:
        return {fraction: of(fraction) for fraction in fractions}
    largest = of(max(fractions))
    return {fraction: prefix(largest, inputs.labels, fraction, balance) for fraction in fractions}


def prefix(coreset: Coreset, labels: Tensor, fraction: float, balance: bool) -> Coreset:
    """Return the first picks of a larger coreset, of each class or of all, as many as ``fraction`` asks for.

    Args:
        coreset: the larger one.
        labels: int64 [n], of all samples that it was selected from.
        fraction: in (0, 1].
        balance: whether to take ``fraction`` of each class.
    """
    budgets = budgets_for(labels, fraction, balance)
    if not balance:
        return coreset.at(np.arange(budgets[-1]))
    picked = labels.cpu().numpy()[coreset.indices]  # [k]
    return coreset.at(np.concatenate([np.flatnonzero(picked == label)[:budget] for label, budget in budgets.items()]))
