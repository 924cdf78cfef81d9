"""Herding: the mean embedding of the picks follows the mean embedding of all samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from methods.base import Method, Need, PickSettings, SelectionInputs
from methods.tie_breaking import first_highest
from utils.data.coreset import Coreset
from utils.threads import small_steps


@dataclass(frozen=True)
class Herding(Method):
    """Pick argmin_i ‖Σ_{s∈S} z_s + z_i − t·μ‖₂ at step t, μ the mean embedding, without replacement.

    With centred embeddings c = z − μ that is argmin_i ‖Σ_{s∈S} c_s + c_i‖₂: one matrix-vector product a pick.
    """

    source = "Welling, Herding dynamical weights to learn, ICML 2009"
    need = (Need.EMBEDDINGS,)

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the sample that brings the picks' mean embedding nearest to that of all samples, again and again."""
        z = self.features_of(inputs).embeddings.double()
        centred = z - z.mean(dim=0)  # [n, d]
        squares = centred.square().sum(dim=1)  # [n]
        largest = squares.max()
        total = torch.zeros_like(centred[0])  # [d]
        picked: list[int] = []
        with small_steps(z.numel()):
            for _ in range(budget):
                length = total @ total
                away = squares + 2 * (centred @ total) + length  # [n], ‖total + c_i‖²
                away[picked] = torch.inf
                picked.append(first_highest(-away, scale=length + largest))
                total += centred[picked[-1]]
        return Coreset(np.array(picked, dtype=np.int64))
