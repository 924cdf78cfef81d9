"""The memory: a few images of each class seen, selected or learned, each class in the order of its picks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.data.small_set import SmallSet
from utils.data.training_set import TrainingSet


@dataclass(frozen=True, eq=False)
class Memory:
    """An immutable memory.

    Attributes:
        images: class after class in ascending order; selected ones are indices into the data set's training images.
        labels: int64 [m], of the images, ascending.
    """

    images: SmallSet
    labels: np.ndarray

    @classmethod
    def empty(cls) -> Memory:
        """Return a memory that holds nothing yet."""
        return cls(Coreset(np.empty(0, dtype=np.int64)), np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, images: SmallSet, data: Data) -> Memory:
        """Return the memory of images of any order of classes; within a class their order stays."""
        labels = data.train.labels.numpy()[images.indices] if isinstance(images, Coreset) else images.labels
        order = labels.argsort(kind="stable")
        return cls(images.at(order), labels[order])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def indices(self) -> Tensor:
        """The positions of selected images in the data set, int64 [m]; learned ones have none."""
        return torch.tensor(self.images.indices) if isinstance(self.images, Coreset) else torch.empty(0).long()

    def shrunk(self, quota: int) -> Memory:
        """Return the first ``quota`` images of each class: of selected ones the last picks are dropped."""
        first = np.searchsorted(self.labels, self.labels)  # [m], where each image's class begins
        kept = np.flatnonzero(np.arange(len(self)) - first < quota)
        return Memory(self.images.at(kept), self.labels[kept])

    def with_images(self, images: SmallSet, data: Data) -> Memory:
        """Return the memory with images of further classes, of the same kind as those that it holds."""
        if not len(self):
            return Memory.of(images, data)
        return Memory.of(type(images).concatenated([self.images, images]), data)  # type: ignore[list-item]

    def training_set(self, data: Data) -> TrainingSet:
        """Return the memory as a training set; weights, where there are any, have the mean 1 over each class.

        So a class counts by the number of its images, whatever the method, and as much beside images without weights.
        A class whose weights are all zero, for the picks that had some were dropped, counts them alike.
        """
        whole = self.images.training_set(data)
        if whole.weights is None:
            return whole
        labels, weights = torch.tensor(self.labels), whole.weights.double()
        sums = torch.zeros(data.spec.num_classes, dtype=torch.float64).index_add_(0, labels, weights)
        weights = torch.where(sums[labels] > 0, weights * labels.bincount()[labels] / sums[labels], 1.0)
        return replace(whole, weights=weights.float())
