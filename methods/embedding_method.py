"""Methods that measure distances between embeddings, by the proxy or by a network trained on ImageNet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.base import Method, Need, SelectionInputs
from utils.errors import UserError
from utils.flags import switch


@dataclass(frozen=True)
class EmbeddingMethod(Method):
    """A method that measures distances between embeddings, the proxy's or pretrained ones.

    Attributes:
        pretrained: measure by the embeddings of torchvision's ResNet18, trained on ImageNet (needs pixels).
    """

    pretrained: bool = switch("--pretrained", "measure embeddings by an ImageNet network instead of the proxy")

    @property
    def needs(self) -> tuple[Need, ...]:
        """Return pretrained embeddings in the place of the proxy's where they are asked for."""
        return tuple(Need.PRETRAINED if each is Need.EMBEDDINGS and self.pretrained else each for each in self.need)

    def embeddings_of(self, inputs: SelectionInputs) -> Tensor:
        """Return the embeddings to measure by, floating [n, d], or raise a UserError that says what is missing."""
        if not self.pretrained:
            return self.features_of(inputs).embeddings
        if inputs.pretrained is None:
            raise UserError(
                f"pretrained takes pixels, which a library call does not have: run main.py --selection "
                f"{type(self).__name__} --pretrained true, or pass those embeddings as embeddings="
            )
        return inputs.pretrained


def directions(embeddings: Tensor) -> Tensor:
    """Return z / ‖z‖₂ of ``embeddings`` [n, d], float64 [n, d]; a zero one stays zero."""
    z = embeddings.double()
    largest = z.abs().amax(dim=1, keepdim=True)  # [n, 1], so that no square overflows
    return F.normalize(z / torch.where(largest > 0, largest, 1.0), dim=1)


def class_means(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each class that is present, float64 [classes, d], and the place of each sample's, int64 [n].

    Args:
        z: float64 [n, d].
        labels: int64 [n].
    """
    classes, own = labels.unique(return_inverse=True)
    return group_means(z, own, z.new_zeros(len(classes), z.shape[1])), own


def group_means(z: Tensor, group: Tensor, otherwise: Tensor) -> Tensor:
    """Return the mean of each group, float64 [groups, d], and that of ``otherwise`` for an empty one.

    Args:
        z: float64 [n, d].
        group: int64 [n], in [0, groups).
        otherwise: float64 [groups, d].
    """
    counts = group.bincount(minlength=len(otherwise))[:, None]  # [groups, 1]
    sums = torch.zeros_like(otherwise).index_add_(0, group, z)
    return torch.where(counts > 0, sums / counts.clamp(min=1), otherwise)
