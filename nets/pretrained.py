"""Embeddings by a network that was trained on ImageNet."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.errors import UserError

if TYPE_CHECKING:
    from utils.data.batches import Batch

_SIZE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def pretrained_embeddings(
    batches: Iterable[Batch], mean: Sequence[float], std: Sequence[float], device: torch.device
) -> Tensor:
    """Return what torchvision's ResNet18 makes of images before its last layer, float32 [n, 512] on ``device``.

    Images are brought to what it was trained on: three channels, 224 × 224, ImageNet's mean and standard deviation.

    Args:
        batches: of images on ``device``, normalised by ``mean`` and ``std``.
        mean: one value a channel.
        std: one value a channel.
        device: where the network runs.

    Raises:
        UserError: the weights are not there and cannot be downloaded.
    """
    network = _resnet18().to(device)
    own_mean, own_std = _per_channel(mean, device), _per_channel(std, device)
    embeddings = []
    with torch.no_grad():
        for batch in batches:
            pixels = (batch.x * own_std + own_mean).expand(-1, 3, -1, -1)
            pixels = F.interpolate(pixels, (_SIZE, _SIZE), mode="bilinear", antialias=True)
            embeddings.append(network((pixels - _per_channel(_MEAN, device)) / _per_channel(_STD, device)))
    return torch.cat(embeddings)


def _resnet18() -> nn.Module:
    """Return ResNet18 with ImageNet weights and without its last layer, in evaluation mode."""
    from torchvision import models  # here, because importing it takes seconds

    weights = models.ResNet18_Weights.DEFAULT
    network = models.resnet18()
    try:
        network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, or a damaged download
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"ResNet18's ImageNet weights cannot be had ({reason}); fetch {weights.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or leave --pretrained out"
        ) from error
    network.fc = nn.Identity()
    return network.eval()


def _per_channel(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None, None]  # [C, 1, 1]
