"""The 1,797 UCI handwritten digits that come with this repository. See DIGITS.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from utils.data.base import Request, Source
from utils.data.images import MemoryImages
from utils.files import read_npz

_FILE = Path(__file__).with_name("digits.npz")


def load_digits(request: Request) -> Source:
    """Load uint8 [n, 1, 8, 8] images and their digits, in the stratified split that is stored with them."""
    arrays = read_npz(_FILE)
    is_test = arrays["is_test"]
    return Source(_half(arrays, ~is_test), _half(arrays, is_test), tuple("0123456789"))


def _half(arrays: dict[str, np.ndarray], chosen: np.ndarray) -> MemoryImages:
    labels = arrays["labels"][chosen].astype(np.int64)
    return MemoryImages(torch.from_numpy(arrays["images"][chosen]), torch.from_numpy(labels))
