"""Forgetting events: samples that were classified rightly, and are not any more, counted during a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ForgettingTrace:
    """Counts the forgetting events of ``n`` samples: right at one presentation, wrong at the next.

    The training loop calls ``observe`` once a batch, with predictions made before the batch's own update.
    """

    def __init__(self, n: int) -> None:
        self.events = torch.zeros(n, dtype=torch.int64)
        self.right = torch.zeros(n, dtype=torch.bool)  # at the last presentation
        self.learned = torch.zeros(n, dtype=torch.bool)  # at any presentation

    def observe(self, positions: Tensor, correct: Tensor) -> None:
        """Take note of which samples ``positions`` (int64 [b], each at most once) were classified rightly, bool [b]."""
        self._move(positions.device)
        correct = correct.to(positions.device)
        self.events[positions] += (self.right[positions] & ~correct).long()
        self.learned[positions] |= correct
        self.right[positions] = correct

    def scores(self) -> Tensor:
        """Return the forgetting events, float64 [n]; +inf for samples never classified rightly, or never seen."""
        return self.events.double().masked_fill(~self.learned, torch.inf)

    def state_dict(self) -> dict[str, Any]:
        """Return everything observed so far; no part of it changes with what is observed later."""
        return {"events": self.events.clone(), "right": self.right.clone(), "learned": self.learned.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: it is of another number of samples.
        """
        if len(state["events"]) != len(self.events):
            raise ValueError(f"a trace of {len(state['events'])} samples, where there are {len(self.events)}")
        self.events, self.right, self.learned = (state[name].clone() for name in ("events", "right", "learned"))

    def _move(self, device: torch.device) -> None:
        if self.events.device != device:
            self.events, self.right, self.learned = (
                tensor.to(device) for tensor in (self.events, self.right, self.learned)
            )
