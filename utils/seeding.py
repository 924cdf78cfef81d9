"""Random numbers that depend on a seed and on what they are for, and on nothing that ran before.

Because each epoch of each stage derives its own seed, no generator state has to be kept in a checkpoint:
a resumed run draws what an undisturbed one would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, e.g. ``derive_seed(seed, "shuffle", epoch)``."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a fresh generator on the CPU, seeded for one purpose."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Seed torch's global generators (network initialisation, dropout) for one purpose.

    ``torch.manual_seed`` takes 500 times as long: it formats a stack trace for every kind of device not in use.
    """
    derived = derive_seed(seed, *purpose)
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(derived)
