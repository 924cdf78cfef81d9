"""A small set in place of a large one: selected images, or learned ones."""

from __future__ import annotations

from pathlib import Path

from utils.data.coreset import Coreset
from utils.data.coreset_formats import READERS, read_coreset
from utils.data.synthetic_set import SyntheticSet
from utils.files import read_npz

SmallSet = Coreset | SyntheticSet


def load_small_set(path: str | Path) -> SmallSet:
    """Return the coreset in a file, or the synthetic set where it is an npz with images and no indices.

    Raises:
        UserError: missing, damaged, or neither of them.
    """
    path = Path(path)
    if path.suffix.lower() in READERS.keys() - {".npz"}:
        return read_coreset(path)
    names = read_npz(path).keys()
    return SyntheticSet.load(path) if "images" in names and "indices" not in names else Coreset.load(path)
