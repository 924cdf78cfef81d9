"""Methods that measure distances between embeddings, by the proxy or by a network trained on ImageNet."""

from __future__ import annotations

from dataclasses import dataclass

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

    pretrained: bool = switch("--pretrained", "kCenterGreedy, Cal: measure by an ImageNet network instead of the proxy")

    @property
    def needs(self) -> tuple[Need, ...]:
        """Return pretrained embeddings where they are asked for, and features where they are used as well."""
        if not self.pretrained:
            return (self.need,)
        return (Need.PRETRAINED,) if self.embeddings_only else (self.need, Need.PRETRAINED)

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
