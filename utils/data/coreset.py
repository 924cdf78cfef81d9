"""The result of a selection: which samples, in which order, with which weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from utils.arrays import as_features
from utils.data.origin import Origin
from utils.data.partitioned import Partitioned, as_json
from utils.data.training_set import TrainingSet
from utils.errors import UserError
from utils.files import read_npz, write_npz
from utils.landscape.certificate import RANDOM_CORESETS, Certificate, certify
from utils.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from utils.data.load import Data


@dataclass(frozen=True, eq=False)
class Coreset:
    """An immutable selection that validates itself.

    Attributes:
        indices: int64 [k], unique positions in the data set, in the order picked, class after class.
        weights: float32 [k], finite and non-negative, or None where every sample counts the same.
        gains: float64 [k], what each pick added to its method's objective, or None.
        origin: which images the indices stand for; None where that is not known.
        population: how many images the data set has, where a mask says it; None elsewhere.
        certified: how far its loss is from the full set's at the network that it was selected through, where that was
            measured.
        partitioned: of each class, or of all, that was selected from in parts, what that came to.
        made_of: the fingerprint of the training images that the indices count, where a file says no more of them.

    Raises:
        UserError: indices that are not unique non-negative integers; weights or gains that do not fit them.
    """

    indices: np.ndarray
    weights: np.ndarray | None = None
    gains: np.ndarray | None = None
    origin: Origin | None = None
    population: int | None = None
    certified: Certificate | None = None
    partitioned: tuple[Partitioned, ...] = ()
    made_of: str | None = None

    def __post_init__(self) -> None:
        indices = np.asarray(self.indices)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise UserError(f"a coreset's indices are one row of integers, not {indices.dtype} {list(indices.shape)}")
        if indices.size and not 0 <= indices.min() <= indices.max() <= np.iinfo(np.int64).max:
            raise UserError(f"a coreset's indices start at 0; found {indices.min()} to {indices.max()}")
        if len(np.unique(indices)) != len(indices):
            raise UserError("a coreset's indices are unique; found repeated ones")
        self._freeze("indices", indices, np.int64)
        if self.weights is not None:
            weights = _numbers("weights", self.weights, indices)
            if not ((weights >= 0) & (weights <= np.finfo(np.float32).max)).all():
                raise UserError("a coreset's weights are finite and non-negative")
            self._freeze("weights", weights, np.float32)
        if self.gains is not None:
            self._freeze("gains", _numbers("gains", self.gains, indices), np.float64)

    @classmethod
    def given(cls, indices: np.ndarray, weights: np.ndarray | None = None, gains: np.ndarray | None = None) -> Coreset:
        """Return the coreset of indices (integers [k]), or of a mask (bool [n]) in the order of the data set.

        Weights beside a mask are of its picks, or of all n.
        """
        if indices.ndim != 1 or indices.dtype != np.bool_:
            return cls(indices, weights, gains)
        if weights is not None and weights.shape == indices.shape:
            weights = weights[indices]
        return cls(np.flatnonzero(indices), weights, gains, population=len(indices))

    def _freeze(self, name: str, values: np.ndarray, dtype: type) -> None:
        array: np.ndarray = np.array(values, dtype=dtype)
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.indices)

    def check_fits(self, population: int) -> None:
        """Raise UserError unless every index lies within a data set of ``population`` samples, a mask just as many."""
        if self.population not in (None, population):
            raise UserError(f"the coreset is a mask of {self.population} samples, but the data set has {population}")
        if len(self) and self.indices.max() >= population:
            raise UserError(
                f"the coreset names sample {self.indices.max()}, but the data set has only {population} samples"
            )

    def at(self, positions: np.ndarray) -> Coreset:
        """Return the coreset of the picks at ``positions`` (int64 [m], places within this one)."""
        return Coreset(
            self.indices[positions],
            None if self.weights is None else self.weights[positions],
            None if self.gains is None else self.gains[positions],
            None if self.origin is None else self.origin.at(positions),
            made_of=self.made_of,
        )

    def mapped(self, numbers: np.ndarray) -> Coreset:
        """Return the same picks where sample i is called ``numbers[i]`` (int64 [n], unique)."""
        return Coreset(
            numbers[self.indices], self.weights, self.gains, certified=self.certified, partitioned=self.partitioned
        )

    @usual_defaults()
    def certificate(
        self,
        embeddings: Any,
        logits: Any,
        labels: Any,
        *,
        radius: float | None = None,
        random: int = RANDOM_CORESETS,
        seed: int = 0,
    ) -> Certificate:
        """Measure how far the coreset's loss may be from the full set's near the network that the features are of.

        In the last linear layer: the gaps of gradient and curvature, the worst change of the difference of the losses
        within a ball, its second-order bound, and the same for random coresets of as many samples of each class.

        Args:
            embeddings: floating [n, d] of all samples, the input of the last linear layer; tensor or array.
            logits: floating [n, C], its output.
            labels: integers [n].
            radius: ρ, a Euclidean length; None: such that no logit of a typical sample changes by more than 1.
            random: how many random coresets to compare with.
            seed: of the random coresets.

        Raises:
            UserError: features that are no features, or one part of them, or not of the samples that the coreset was
                selected from as far as that can be told; a radius that is not above 0.
        """
        if embeddings is None or logits is None:
            raise UserError("a certificate takes embeddings and logits, for it is of the last layer between them")
        features = as_features(embeddings, logits, labels)
        return certify(*features, self.indices, self.weights, radius=radius, random=random, seed=seed)

    @classmethod
    def concatenated(cls, parts: Sequence[Coreset]) -> Coreset:
        """Return the picks of ``parts`` one after another; weights and gains where every part has them."""
        weights = [part.weights for part in parts if part.weights is not None]
        gains = [part.gains for part in parts if part.gains is not None]
        return cls(
            np.concatenate([part.indices for part in parts]),
            np.concatenate(weights) if len(weights) == len(parts) else None,
            np.concatenate(gains) if len(gains) == len(parts) else None,
            partitioned=tuple(each for part in parts for each in part.partitioned),
        )

    @property
    def train_images(self) -> str | None:
        """The fingerprint of the training images that the indices count, where it is known."""
        return self.made_of if self.origin is None else self.origin.train_images

    def training_set(self, data: Data) -> TrainingSet:
        """Return the images picked, as a part of ``data``.

        Raises:
            UserError: ``data`` has fewer images, or no weight is above 0.
        """
        self.check_fits(len(data.train))
        weights = None if self.weights is None else torch.tensor(self.weights)
        if weights is not None and len(self) and not weights.any():
            raise UserError("every weight of the coreset is 0, so nothing would be learned; leave its weights out")
        return TrainingSet(data, torch.tensor(self.indices), weights)

    def digest(self) -> str:
        """Return 16 hex digits that change with any index or weight."""
        content = hashlib.sha256(self.indices.tobytes())
        content.update(b"" if self.weights is None else self.weights.tobytes())
        return content.hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write an npz with ``indices``, and what else is known.

        That is ``weights`` and ``gains``, ``certificate`` and ``partitioned`` as JSON, and the origin.
        """
        arrays = {"indices": self.indices, "weights": self.weights, "gains": self.gains}
        if self.certified is not None:
            arrays["certificate"] = np.array(json.dumps(asdict(self.certified)))
        if self.partitioned:
            arrays["partitioned"] = np.array(as_json(self.partitioned))
        if self.train_images is not None:
            arrays["train_images"] = np.array(self.train_images)
        given = {name: array for name, array in arrays.items() if array is not None}
        write_npz(Path(path), given if self.origin is None else given | self.origin.arrays())

    @classmethod
    def load(cls, path: str | Path) -> Coreset:
        """Read what ``save`` wrote, or any npz with integers or a mask as ``indices``; pickles are refused."""
        arrays = read_npz(Path(path))
        if "indices" not in arrays:
            held = ", ".join(arrays) or "nothing"
            raise UserError(f"{path} has no array 'indices'; it holds {held}")
        try:
            coreset = cls.given(arrays["indices"], arrays.get("weights"), arrays.get("gains"))
            origin, certificate = Origin.from_arrays(arrays, len(coreset)), _certificate(arrays)
            partitioned = Partitioned.from_json(str(arrays["partitioned"])) if "partitioned" in arrays else ()
            made_of = str(arrays["train_images"]) if origin is None and "train_images" in arrays else None
            return replace(coreset, origin=origin, certified=certificate, partitioned=partitioned, made_of=made_of)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _certificate(arrays: dict[str, np.ndarray]) -> Certificate | None:
    if "certificate" not in arrays:
        return None
    try:
        return Certificate.from_dict(json.loads(str(arrays["certificate"])))
    except ValueError as error:
        raise UserError(f"its certificate is not to be read: {error}") from error


def _numbers(name: str, values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != indices.shape or array.dtype.kind not in "buif":
        found = f"{array.dtype} {list(array.shape)}"
        raise UserError(f"a coreset's {name} are numbers, one for each of its {len(indices)} indices, not {found}")
    return array
