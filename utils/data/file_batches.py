"""Batches of images decoded from their files, by loader processes where there are any."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.data.decode import Unreadable, read_random_crop, read_resized
from utils.data.images import FileImages
from utils.errors import UserError
from utils.seeding import derive_seed

_PREFETCH = 4  # batches that each worker decodes ahead


def decode_batches(
    files: PassOverFiles, batches: Sequence[slice], *, workers: int, pin_memory: bool
) -> Iterator[Tensor]:
    """Yield uint8 [b, C, H, W] of each of ``batches``, slices of the pass.

    Raises:
        UserError: (while iterating) a file cannot be read.
    """
    images = files.images
    loader = DataLoader(
        files,
        batch_sampler=[list(range(rows.start, rows.stop)) for rows in batches],
        num_workers=workers,
        prefetch_factor=_PREFETCH if workers else None,
        collate_fn=functools.partial(_stack, (images.channels, images.crop, images.crop)),
        pin_memory=pin_memory,
        generator=torch.Generator(),  # the loader's own draws leave the global generator alone
    )
    for x in loader:
        if isinstance(x, Unreadable):
            raise UserError(f"unreadable image: {x}; replace or remove it")
        yield x


class PassOverFiles(Dataset[Tensor | Unreadable]):
    """The images of one pass in its order, cropped and flipped at random where there is a seed.

    Args:
        index: int64 [n], which of the images they are.
        position: int64 [n], which of the draws of ``seed`` each of them takes.
    """

    def __init__(self, images: FileImages, index: Tensor, position: Tensor, seed: int | None) -> None:
        self.images = images
        self._index = index
        self._position = position
        self._seed = seed

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, row: int) -> Tensor | Unreadable:
        images, path = self.images, self.images.path(int(self._index[row]))
        if self._seed is None:
            image = read_resized(path, images.resize, images.crop, images.background)
        else:
            seed = derive_seed(self._seed, "augment", int(self._position[row]))
            image = read_random_crop(path, images.crop, seed, images.background)
        return image if isinstance(image, Unreadable) else image.expand(images.channels, -1, -1)


def _stack(shape: tuple[int, ...], items: list[Tensor | Unreadable]) -> Tensor | Unreadable:
    """Stack images to uint8 [b, *shape], or return the first that could not be read."""
    images: list[Tensor] = []
    for item in items:
        if isinstance(item, Unreadable):
            return item
        images.append(item)
    return torch.stack(images) if images else torch.empty(0, *shape, dtype=torch.uint8)
