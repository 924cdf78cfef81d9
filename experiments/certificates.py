"""Coresets with what was measured of them at the network that they were selected through."""

from __future__ import annotations

import sys
from dataclasses import replace

from methods.base import FEATURES
from methods.features import AnyFeatures, parts_of
from utils.data.coreset import Coreset
from utils.distributed import World
from utils.notes import note_once

_AT_ONCE = 500_000_000  # samples × embedding × classes: a certificate of half a minute on two cores


def certified(coreset: Coreset, features: AnyFeatures, wanted: str, world: World) -> Coreset:
    """Return the coreset with its certificate, or as it is, with a note, where that cannot be had.

    Args:
        coreset: its indices are into ``features``.
        features: of all samples, at the network as it is.
        wanted: ``auto``: unless it would take minutes; ``yes``.
        world: rank 0 measures.
    """
    if len(parts_of(features)) < len(FEATURES):
        note_once("no certificate was measured: it takes embeddings and logits")
        return coreset
    values = len(features) * features.embeddings.shape[1] * features.logits.shape[1]
    if wanted == "auto" and values > _AT_ONCE:
        print(
            "note: no certificate was measured, for it would take minutes; ask for --certificate yes", file=sys.stderr
        )
        return coreset
    held = features.everywhere()
    certificate = world.on_rank_zero(coreset.certificate, held.embeddings, held.logits, held.labels)
    print(f"certificate of {len(coreset)} images: {certificate}", flush=True)
    return replace(coreset, certified=certificate)
