"""The images behind a coreset's indices, as files by class or as a sheet to look at."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from utils.config import DataConfig
from utils.data.coreset import Coreset
from utils.data.coreset_formats import LISTING, MADE_OF
from utils.data.decode import as_seen
from utils.data.fingerprint import Contents, check_same_images, contents
from utils.data.images import WHITE, FileImages, MemoryImages
from utils.data.load import Data, load_data
from utils.data.loaders.class_folders import find_classes, find_images
from utils.data.synthetic_set import SyntheticSet
from utils.errors import UserError
from utils.files import write_atomic

TILE = 64  # pixels of an image in a sheet
_GAP, _LINE = 4, 28  # what is around it, a line of text
_LONGEST_NAME = 28


@dataclass(frozen=True, eq=False)
class Pictures:
    """The training images of a data set: labels int64 [n], either uint8 [n, C, H, W] or n files, and their names."""

    class_names: tuple[str, ...]
    labels: np.ndarray
    images: torch.Tensor | None = None
    files: tuple[Path, ...] | None = None
    contents: Contents | None = None
    background: str = WHITE

    def open(self, index: int) -> Image.Image:
        """Return one image as RGB. Raises UserError where its file cannot be read."""
        if self.images is not None:
            pixels = self.images[index].permute(1, 2, 0).cpu().numpy()  # [H, W, C]
            return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).convert("RGB")
        path = self.file(index)
        try:
            with Image.open(path) as image:
                return as_seen(image, self.background).convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"cannot read the image {path}: {error}") from error

    def file(self, index: int) -> Path:
        """Return the file of one image. Raises UserError where the data set is no folder of image files."""
        if self.files is None:
            raise UserError("these images are not single files; leave --link out to write them as PNG")
        return self.files[index]


def load_pictures(config: DataConfig) -> Pictures:
    """Return the training images in the order that indices count them, with the labels that are right.

    Raises:
        UserError: as :func:`utils.data.load_data`; or other images than those that ``config`` names.
    """
    if config.dataset == "ImageFolder":
        root = Path(config.folder).expanduser()
        hint = "give the folder with --data_path"
        names = find_classes(root / "train", hint)
        listed = find_images(root, "train", names, hint)
        told = Contents.of_files(listed, names)
        check_same_images("the set", config.train_images, replace(config, train_images=told.fingerprint))
        files, background = tuple(listed.paths), config.background or WHITE
        return Pictures(names, listed.labels.numpy(), files=files, contents=told, background=background)
    told = contents(config)[0]
    check_same_images("the set", config.train_images, replace(config, train_images=told.fingerprint))
    return replace(pictures_of(load_data(replace(config, val=False, label_noise=None))), contents=told)


def pictures_of(data: Data) -> Pictures:
    """Return the training images of a loaded data set."""
    names, labels = data.spec.class_names, data.train.labels.numpy()
    if isinstance(data.train, MemoryImages):
        return Pictures(names, labels, images=data.train.images)
    return Pictures(names, labels, files=_paths(data.train))


def write_folder(path: Path, pictures: Pictures, coreset: Coreset, *, link: bool, force: bool) -> None:
    """Write ``<class>/<rank>_<index>.<suffix>`` for each pick, and a listing with weights; all of it or nothing.

    Files are copied as they are (or linked, where ``link``); images held in memory become PNG. Rank counts
    within a class in the order picked.

    Raises:
        UserError: the folder cannot be written, or replacing it would delete something else than an export.
    """
    if path.exists() and not (force and (path / LISTING).exists()):
        advice = "it is no earlier export" if force else "--force replaces an earlier export"
        raise UserError(f"{path} exists and is not replaced: {advice}; give another --output")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            made = Path(scratch) / "new"
            made.mkdir()
            _fill(made, pictures, coreset, link)
            if path.exists():
                path.replace(Path(scratch) / "old")
            made.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _fill(folder: Path, pictures: Pictures, coreset: Coreset, link: bool) -> None:
    names = _folder_names(pictures.class_names)
    ranks = [0] * len(names)
    listing = io.StringIO()
    writer = csv.writer(listing, lineterminator="\n")
    told = pictures.contents
    originals = None if told is None else told.files
    names_of_more = [
        *(["original"] if originals else []),
        *(["weight"] if coreset.weights is not None else []),
        *([MADE_OF] if told else []),
    ]
    writer.writerow(["file", "index", "label", "class", *names_of_more])
    for pick, index in enumerate(coreset.indices.tolist()):
        label = int(pictures.labels[index])
        suffix = ".png" if pictures.files is None and not link else pictures.file(index).suffix
        name = f"{names[label]}/{ranks[label]:05d}_{index}{suffix}"
        ranks[label] += 1
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if pictures.files is None:
            pictures.open(index).save(target)
        elif link:
            _link(pictures.file(index).resolve(), target)
        else:
            shutil.copyfile(pictures.file(index), target)
        more = [
            *([originals[index]] if originals else []),
            *([] if coreset.weights is None else coreset.weights[[pick]]),
            *([told.fingerprint] if told else []),
        ]
        writer.writerow([name, index, label, pictures.class_names[label], *more])
    write_atomic(folder / LISTING, listing.getvalue().encode(errors="surrogateescape"))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        target.symlink_to(source)


def _folder_names(class_names: Sequence[str]) -> list[str]:
    """Return the classes as folder names; numbered where they would not stay apart."""
    names = [re.sub(r"[/\\\0]", "_", name).lstrip(".").strip() for name in class_names]
    if len({name.casefold() for name in names} - {""}) == len(names):
        return names
    return [f"{label:04d}_{name}" for label, name in enumerate(names)]


def contact_sheet(pictures: Pictures, indices: np.ndarray, *, title: str, picks: int, classes: int) -> bytes:
    """Draw a PNG with a row for each of the first ``classes`` classes: its name and its first ``picks`` picks."""
    labels = pictures.labels[indices]
    shown = range(min(classes, len(pictures.class_names)))
    of_class = [indices[labels == label] for label in shown]
    names = [_shortened(pictures.class_names[label]) for label in shown]
    captions = [f"{name}  ({len(own)})" for name, own in zip(names, of_class, strict=True)]
    title = _drawable(title)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 13)
    left = _GAP * 3 + int(max(font.getlength(caption) for caption in captions))
    step = TILE + _GAP
    columns = max(1, min(picks, max(map(len, of_class))))
    width = max(left + step * columns, int(font.getlength(title)) + 2 * _GAP) + _GAP
    sheet = Image.new("RGB", (width, _LINE + step * len(shown)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _LINE // 2), title, "black", font, anchor="lm")
    for row, (caption, own) in enumerate(zip(captions, of_class, strict=True)):
        top = _LINE + row * step
        draw.text((left - 2 * _GAP, top + TILE // 2), caption, "black", font, anchor="rm")
        for column, index in enumerate(own[:picks].tolist()):
            tile = _tile(pictures.open(index))
            corner = (left + column * step + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2)
            sheet.paste(tile, corner)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def synthetic_sheet(synthetic: SyntheticSet, class_names: tuple[str, ...], title: str) -> bytes:
    """Draw a synthetic set as a PNG with a row for each class; pixels are cut off at 0 and 255."""
    pictures = Pictures(class_names, synthetic.labels, synthetic.visible())
    return contact_sheet(pictures, np.arange(len(synthetic)), title=title, picks=10, classes=100)


def _tile(image: Image.Image) -> Image.Image:
    """Return the image within a tile: small ones in whole multiples, so that every pixel stays square."""
    longest = max(image.size)
    if longest > TILE:
        image.thumbnail((TILE, TILE))
        return image
    scale = TILE // longest
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _drawable(text: str) -> str:
    """Return a text as one line that a font can measure: line ends, broken characters and the like as ``?``."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _shortened(name: str) -> str:
    name = _drawable(name)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _paths(images: FileImages) -> tuple[Path, ...]:
    return tuple(images.path(index) for index in range(len(images)))
