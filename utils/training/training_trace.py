"""What a training's logits say of each sample, epoch by epoch: the one record that scores of difficulty are made of."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.device import moved

_LOSS, _MARGIN, _ERROR, _CORRECT = range(4)
_QUANTITIES = 4


class TrainingTrace:
    """Records loss, margin, error and correctness of ``n`` samples at their presentation in each epoch.

    The training loop calls ``measure`` and ``observe`` once a batch, with the logits that the batch's own update is
    made of, in training mode. 16 bytes for each sample and epoch.

    Args:
        n: how many samples.
        epochs: of the training.
    """

    def __init__(self, n: int, epochs: int) -> None:
        self.rows = torch.full((epochs, _QUANTITIES, n), torch.nan)  # float32; NaN: not presented
        self.begun = 0  # epochs

    @classmethod
    def of_one_look(cls, logits: Tensor, labels: Tensor) -> TrainingTrace:
        """Return the trace of a single look at a network, such as one at initialisation.

        Args:
            logits: floating [n, C].
            labels: int64 [n].
        """
        trace = cls(len(labels), epochs=1)
        trace.observe(0, torch.arange(len(labels), device=labels.device), trace.measure(logits, labels))
        return trace

    def first(self, n: int) -> TrainingTrace:
        """Return the trace of the first ``n`` samples."""
        trace = TrainingTrace(n, len(self.rows))
        trace.load_state_dict({"rows": self.rows[: self.begun, :, :n]})
        return trace

    @property
    def loss(self) -> Tensor:
        """The cross-entropy −log p_y, float64 [epochs, n]."""
        return self._row(_LOSS)

    @property
    def confidence(self) -> Tensor:
        """The probability of the label p_y, float64 [epochs, n]."""
        return (-self.loss).exp()

    @property
    def margin(self) -> Tensor:
        """The label's logit less the largest other one, float64 [epochs, n]."""
        return self._row(_MARGIN)

    @property
    def error(self) -> Tensor:
        """The norm ‖p − y‖₂, float64 [epochs, n]."""
        return self._row(_ERROR)

    @property
    def correct(self) -> Tensor:
        """Whether the label has the largest logit (of equal ones the first), bool [epochs, n]."""
        return self._row(_CORRECT) == 1

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what ``observe`` takes of a batch, float32 [b, 4].

        Args:
            logits: floating [b, C].
            labels: int64 [b].
        """
        logits, own = logits.detach().double(), labels[:, None]
        others = logits.softmax(dim=1).scatter(1, own, 0.0)  # [b, C]
        error = (others.square().sum(dim=1) + others.sum(dim=1).square()).sqrt()  # 1 − p_y is the sum of the others
        margin = logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(dim=1)
        loss = F.cross_entropy(logits, labels, reduction="none")
        correct = logits.argmax(dim=1) == labels
        return torch.stack([loss, margin, error, correct], dim=1).float()

    def observe(self, epoch: int, positions: Tensor, measured: Tensor) -> None:
        """Record what ``measure`` returned of the samples ``positions`` (int64 [b], each once an epoch)."""
        self.rows = moved(self.rows, positions.device)
        self.rows[epoch][:, positions] = measured.to(positions.device).T
        self.begun = epoch + 1

    def state_dict(self) -> dict[str, Any]:
        """Return everything observed so far; no part of it changes with what is observed later."""
        return {"rows": self.rows[: self.begun].clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: it is of another number of samples, of more epochs, or of an earlier version.
        """
        if "rows" not in state:
            raise ValueError("it has no training trace, for an earlier version made it")
        rows, (epochs, _, n) = state["rows"], self.rows.shape
        if rows.shape[1:] != self.rows.shape[1:] or len(rows) > epochs:
            found = f"{rows.shape[2]} samples and {len(rows)} epochs"
            raise ValueError(f"a trace of {found}, where there are {n} and {epochs}")
        self.begun = len(rows)
        self.rows[: self.begun] = rows

    def _row(self, quantity: int) -> Tensor:
        return self.rows[: self.begun, quantity].double()
