"""Directions through the space of a network's parameters, as flat vectors in the order of ``parameters``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.seeding import generator


def random_direction(parameters: Sequence[Tensor], seed: int, number: int) -> Tensor:
    """Draw a random direction that is as long as the parameters, filter by filter (Li et al., 2018, section 4).

    A filter is what makes one output: of a convolution [out, in, h, w] or a linear layer [out, in] one row. Biases and
    the parameters of normalisations are not moved, as in the code of that paper, and a filter of zeros stays one.

    Args:
        seed: of the landscape.
        number: which of several directions.

    Returns:
        [P], on the device and in the dtype of the parameters.
    """
    random = generator(seed, "direction", number)
    parts = []
    for parameter in parameters:
        direction = torch.zeros(parameter.shape, dtype=torch.float64)
        if parameter.ndim > 1:
            direction = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            rows = direction.flatten(1)  # [out, rest]
            lengths = parameter.detach().cpu().double().flatten(1).norm(dim=1)  # [out]
            direction = (rows * (lengths / rows.norm(dim=1))[:, None]).view(parameter.shape)
        parts.append(direction.flatten())
    return torch.cat(parts).to(parameters[0])  # [P]
