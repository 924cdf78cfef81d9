"""Batches of images on the device that trains: gathered or decoded, augmented and normalised, one at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from utils.data.augmentation import AUGMENTATIONS, too_small
from utils.data.images import FileImages, Images, MemoryImages
from utils.data.registry import DataSpec
from utils.data.siamese import Siamese
from utils.device import memory_layout, moved
from utils.distributed import SINGLE_PROCESS, World
from utils.seeding import generator


@dataclass(frozen=True, eq=False)
class Batch:
    """b images with their labels, all tensors on one device.

    Attributes:
        x: float32 [b, C, H, W], normalised.
        y: int64 [b], labels.
        index: int64 [b], rows of the images that they are.
        position: int64 [B], their places in the indices that were asked for. One rank of several gets its shard
            of b of the batch's B images, and the positions of all of them; otherwise b is B.
        weight: float32 [b], or None.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    position: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return len(self.y)


class Batches:
    """An iterable of the batches of one pass over some images, the last and partial one included.

    The order and the augmentation depend on ``shuffle_seed`` alone, never on the device, the number of
    workers or what ran before: pass ``derive_seed(seed, "epoch", epoch)``.

    Args:
        images: what to take them from; on their device they are gathered.
        indices: int64 [n] into ``images``, in the order wanted where nothing is shuffled.
        device: that the batches are moved to.
        shuffle_seed: None keeps the order.
        augment: as ``spec.augmentation`` says; needs a ``shuffle_seed``.
        siamese: changes normalised batches, each image by its own parameters; needs a ``shuffle_seed``.
        weights: float32 [n], one for each of ``indices``.
        workers: processes that decode image files; none for images in memory.
        world: the ranks that split every batch among them.

    Raises:
        UserError: images too small for the augmentation; (while iterating) an image file cannot be read.
    """

    def __init__(
        self,
        images: Images,
        spec: DataSpec,
        indices: Tensor,
        batch_size: int,
        *,
        device: torch.device | str,
        shuffle_seed: int | None = None,
        augment: bool = False,
        siamese: Siamese | None = None,
        weights: Tensor | None = None,
        workers: int = 0,
        world: World = SINGLE_PROCESS,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if (augment or siamese) and shuffle_seed is None:
            raise ValueError("augmentation is random: it needs a shuffle_seed")
        self._images = images
        self._spec = spec
        self._indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
        self._weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float32).cpu()
        if len(self._indices) and not 0 <= self._indices.min() <= self._indices.max() < len(images):
            raise ValueError(f"indices must lie in 0 … {len(images) - 1}")
        if self._weights is not None and self._weights.shape != self._indices.shape:
            raise ValueError(f"{len(self._weights)} weights for {len(self._indices)} indices")
        self.batch_size = batch_size
        self._device = torch.device(device)
        self._shuffle_seed = shuffle_seed
        self._augment_seed = shuffle_seed if augment and spec.augmentation != "none" else None
        self._augmentation = None if self._augment_seed is None else AUGMENTATIONS[spec.augmentation]
        if self._augmentation is not None and spec.im_size < self._augmentation.smallest_image:
            raise too_small(spec.augmentation, spec.im_size)
        self._siamese = siamese
        self._workers = workers
        self._world = world

    def of_size(self, batch_size: int) -> Batches:
        """Return the same images in batches of another size."""
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def __len__(self) -> int:
        return -(-len(self._indices) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        position = self._order()
        index = self._indices[position]
        numbers = moved(torch.stack((self._images.labels[index], index, position)), self._device)  # [3, n], in one copy
        labels, indices, positions = numbers.unbind()
        weights = None if self._weights is None else moved(self._weights[position], self._device)
        normalise = Normaliser(self._spec, self._device)
        batches, shards = self._rows()
        if isinstance(self._images, MemoryImages):
            pixels = self._gather(self._images, indices if self._holds(self._images) else index, shards)
        else:
            pixels = self._decode(self._images, index, position, shards)
        augmented = self._augmented(pixels, shards, len(index))
        for number, (raw, batch, rows) in enumerate(zip(augmented, batches, shards, strict=True)):
            x = self._augment_siamese(normalise(raw), number, _length(batch))
            weight = None if weights is None else weights[rows]
            yield Batch(x, labels[rows], indices[rows], positions[batch], weight)

    def _order(self) -> Tensor:
        """Return the position in ``indices`` of each image of this pass, int64 [n] on the CPU."""
        n = len(self._indices)
        if self._shuffle_seed is None:
            return torch.arange(n)
        return torch.randperm(n, generator=generator(self._shuffle_seed, "shuffle"))

    def _rows(self) -> tuple[list[slice], list[slice]]:
        """Return which rows of the pass each batch takes, and which of them are this rank's."""
        n, size = len(self._indices), self.batch_size
        batches = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        parts = [self._world.shard(_length(batch)) for batch in batches]
        return batches, [slice(b.start + p.start, b.start + p.stop) for b, p in zip(batches, parts, strict=True)]

    def _augment_siamese(self, x: Tensor, number: int, count: int) -> Tensor:
        """Augment ``x``, this rank's shard of the batch of that number and of ``count`` images, if asked for."""
        if self._siamese is None or self._shuffle_seed is None or not len(x):
            return x
        draw = self._siamese.draw(count, generator(self._shuffle_seed, "siamese", number))
        return self._siamese.apply(x, replace(draw, numbers=draw.numbers[self._world.shard(count)]))

    def _gather(self, images: MemoryImages, index: Tensor, shards: Sequence[slice]) -> Iterator[Tensor]:
        """Yield batches from memory, as they are there; ``index`` lies where the images do."""
        for rows in shards:
            yield moved(images.images.index_select(0, index[rows]), self._device)

    def _holds(self, images: MemoryImages) -> bool:
        return images.images.device.type == self._device.type

    def _decode(self, images: FileImages, index: Tensor, position: Tensor, shards: Sequence[slice]) -> Iterator[Tensor]:
        """Yield uint8 batches from files; random crops of the files themselves are taken here."""
        from utils.data.file_batches import PassOverFiles, decode_batches  # here, because torchvision takes a second

        files = PassOverFiles(images, index, position, self._augment_seed if self._crops_files() else None)
        for x in decode_batches(files, shards, workers=self._workers, pin_memory=self._device.type == "cuda"):
            yield x.to(self._device, non_blocking=True)

    def _crops_files(self) -> bool:
        images = self._images
        return isinstance(images, FileImages) and images.crop_whole and self._spec.augmentation == "resized_crop_flip"

    def _augmented(self, pixels: Iterator[Tensor], shards: Sequence[slice], count: int) -> Iterator[Tensor]:
        """Yield the batches of a pass over ``count`` images, augmented unless they are by now."""
        if self._augmentation is None or self._augment_seed is None or self._crops_files():
            yield from pixels
            return
        drawn = self._augmentation.draw(count, self._spec.im_size, generator(self._augment_seed, "augment"))
        parameters = moved(drawn, self._device)
        for x, rows in zip(pixels, shards, strict=True):
            yield self._augmentation.apply(x, parameters[rows])


class Normaliser:
    """Turns pixels of 0 to 255, [n, C, H, W], into float32 of mean 0 and standard deviation 1, and back."""

    def __init__(self, spec: DataSpec, device: torch.device | str) -> None:
        mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
        both = torch.stack((1 / (255 * std), -mean / std)).float()  # [2, C]
        self._scale, self._shift = moved(both, device).view(2, 1, -1, 1, 1).unbind()  # [1, C, 1, 1] each
        self._layout = memory_layout(torch.device(device))

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise ``images`` [n, C, H, W], left as they are, to float32 in the device's memory layout."""
        floats = images.to(torch.float32, copy=True, memory_format=self._layout)
        return floats.mul_(self._scale).add_(self._shift)

    def undo(self, normalised: Tensor) -> Tensor:
        """Return the pixels, float32 [n, C, H, W], neither rounded nor kept within 0 and 255."""
        return (normalised - self._shift) / self._scale


def _length(rows: slice) -> int:
    return int(rows.stop) - int(rows.start)
