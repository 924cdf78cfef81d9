"""Batches of normalised images on the device that trains: gathered, augmented and normalised a batch at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.data.augmentation import crop_flip, draw_crop_flip
from utils.data.decode import Unreadable, read_random_crop, read_resized
from utils.data.images import FileImages, Images, MemoryImages
from utils.data.registry import DataSpec
from utils.data.siamese import Siamese
from utils.device import memory_layout
from utils.distributed import SINGLE_PROCESS, World
from utils.errors import UserError
from utils.seeding import derive_seed, generator

_AUGMENTATION = {MemoryImages: "crop_flip", FileImages: "resized_crop_flip"}
_PREFETCH = 4  # batches that each worker decodes ahead


@dataclass(frozen=True, eq=False)
class Batch:
    """b images, all tensors on one device.

    Attributes:
        x: float32 [b, C, H, W], normalised.
        y: int64 [b], labels.
        index: int64 [b], which of the images they are.
        position: int64 [B], where they stand in the indices that were asked for. A rank of several is given a
            share of b of the batch's B images, and the positions of all of them; otherwise b is B.
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
    """One pass over some of the images; the last partial batch is kept.

    The order and the augmentation depend on ``shuffle_seed`` alone, never on the device, the number of
    workers or what ran before: pass ``derive_seed(seed, "epoch", epoch)``.

    Args:
        images: where to take them from; their device is where they are gathered.
        indices: int64 [n] into ``images``, in the order wanted where nothing is shuffled.
        device: where the batches are wanted.
        shuffle_seed: None keeps the order.
        augment: as ``spec.augmentation`` says; needs a ``shuffle_seed``.
        siamese: changes normalised batches, each image by its own parameters; needs a ``shuffle_seed``.
        weights: float32 [n], one for each of ``indices``.
        workers: processes that decode image files; none for images in memory.
        world: the ranks that share out every batch among them.

    Raises:
        UserError: (while iterating) an image file cannot be read.
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
        if augment and spec.augmentation not in ("none", _AUGMENTATION[type(images)]):
            raise ValueError(f"{spec.augmentation} is not for {type(images).__name__}")
        self._images = images
        self._spec = spec
        self._indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
        self._weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float32).cpu()
        if len(self._indices) and not 0 <= self._indices.min() <= self._indices.max() < len(images):
            raise ValueError(f"indices must lie in 0 … {len(images) - 1}")
        if self._weights is not None and self._weights.shape != self._indices.shape:
            raise ValueError(f"{len(self._weights)} weights for {len(self._indices)} indices")
        self._batch_size = batch_size
        self._device = torch.device(device)
        self._shuffle_seed = shuffle_seed
        self._augment_seed = shuffle_seed if augment and spec.augmentation != "none" else None
        self._siamese = siamese
        self._workers = workers
        self._world = world

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        position = self._order()
        index = self._indices[position]
        labels = self._images.labels[index].to(self._device)
        weights = None if self._weights is None else self._weights[position].to(self._device)
        indices, positions = index.to(self._device), position.to(self._device)
        normalise = Normaliser(self._spec, self._device)
        batches, shares = self._rows()
        if isinstance(self._images, MemoryImages):
            pixels = self._gathered(self._images, index, shares)
        else:
            pixels = self._decoded(self._images, index, position, shares)
        for number, (raw, batch, rows) in enumerate(zip(pixels, batches, shares, strict=True)):
            x = self._changed(normalise(raw), number, _length(batch))
            weight = None if weights is None else weights[rows]
            yield Batch(x, labels[rows], indices[rows], positions[batch], weight)

    def _order(self) -> Tensor:
        """int64 [n] on the CPU: the position in ``indices`` of each image of this pass."""
        n = len(self._indices)
        if self._shuffle_seed is None:
            return torch.arange(n)
        return torch.randperm(n, generator=generator(self._shuffle_seed, "shuffle"))

    def _rows(self) -> tuple[list[slice], list[slice]]:
        """Which rows of the pass each batch takes, and which of them are this rank's."""
        n, size = len(self._indices), self._batch_size
        batches = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        parts = [self._world.shard(_length(batch)) for batch in batches]
        return batches, [slice(b.start + p.start, b.start + p.stop) for b, p in zip(batches, parts, strict=True)]

    def _changed(self, x: Tensor, number: int, count: int) -> Tensor:
        """This rank's share of the batch of that number, of ``count`` images, after siamese augmentation."""
        if self._siamese is None or self._shuffle_seed is None or not len(x):
            return x
        draw = self._siamese.draw(count, generator(self._shuffle_seed, "siamese", number))
        return self._siamese.apply(x, replace(draw, numbers=draw.numbers[self._world.shard(count)]))

    def _gathered(self, images: MemoryImages, index: Tensor, shares: Sequence[slice]) -> Iterator[Tensor]:
        """uint8 batches from memory, augmented."""
        index = index.to(images.images.device)
        parameters: Tensor | None = None
        if self._augment_seed is not None:
            drawn = draw_crop_flip(len(index), generator(self._augment_seed, "augment"))
            parameters = drawn.to(self._device)
        for rows in shares:
            x = _moved(images.images.index_select(0, index[rows]), self._device)
            yield x if parameters is None else crop_flip(x, parameters[rows])

    def _decoded(
        self, images: FileImages, index: Tensor, position: Tensor, shares: Sequence[slice]
    ) -> Iterator[Tensor]:
        """uint8 batches from files, augmented."""
        on_cuda = self._device.type == "cuda"
        loader = DataLoader(
            _Files(images, index, position, self._augment_seed),
            batch_sampler=[list(range(rows.start, rows.stop)) for rows in shares],
            num_workers=self._workers,
            prefetch_factor=_PREFETCH if self._workers else None,
            collate_fn=functools.partial(_stack, (images.channels, images.crop, images.crop)),
            pin_memory=on_cuda,
            generator=torch.Generator(),  # the loader's own draws leave the global generator alone
        )
        for x in loader:
            if isinstance(x, Unreadable):
                raise UserError(f"unreadable image: {x}; replace or remove it")
            yield x.to(self._device, non_blocking=True)


class Normaliser:
    """Images [n, C, H, W] as pixels of 0 to 255 to float32 of the spec's mean 0 and standard deviation 1."""

    def __init__(self, spec: DataSpec, device: torch.device | str) -> None:
        mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
        self._scale = (1 / (255 * std)).float().view(1, -1, 1, 1).to(device)  # [1, C, 1, 1]
        self._shift = (-mean / std).float().view(1, -1, 1, 1).to(device)  # [1, C, 1, 1]
        self._layout = memory_layout(torch.device(device))

    def __call__(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32, copy=True, memory_format=self._layout)
        return floats.mul_(self._scale).add_(self._shift)

    def undo(self, normalised: Tensor) -> Tensor:
        """Back to pixels, float32 [n, C, H, W], neither rounded nor kept within 0 and 255."""
        return (normalised - self._shift) / self._scale


class _Files(Dataset[Tensor | Unreadable]):
    """The image files of one pass, in its order."""

    def __init__(self, images: FileImages, index: Tensor, position: Tensor, seed: int | None) -> None:
        self._images = images
        self._index = index
        self._position = position
        self._seed = seed

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, row: int) -> Tensor | Unreadable:
        images, path = self._images, self._images.path(int(self._index[row]))
        if self._seed is None:
            image = read_resized(path, images.resize, images.crop)
        else:
            seed = derive_seed(self._seed, "augment", int(self._position[row]))
            image = read_random_crop(path, images.crop, seed)
        return image if isinstance(image, Unreadable) else image.expand(images.channels, -1, -1)


def _stack(shape: tuple[int, ...], items: list[Tensor | Unreadable]) -> Tensor | Unreadable:
    """uint8 [b, *shape], or the first item that could not be read."""
    images: list[Tensor] = []
    for item in items:
        if isinstance(item, Unreadable):
            return item
        images.append(item)
    return torch.stack(images) if images else torch.empty(0, *shape, dtype=torch.uint8)


def _length(rows: slice) -> int:
    return int(rows.stop) - int(rows.start)


def _moved(images: Tensor, device: torch.device) -> Tensor:
    """On ``device``, without waiting for the copy to a GPU."""
    if images.device == device or device.type != "cuda":
        return images.to(device)
    return images.pin_memory().to(device, non_blocking=True)
