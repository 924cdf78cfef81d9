"""Take a coreset elsewhere: ``python -m utils.export RUN_FOLDER --format csv --output coreset.csv``."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.cli import Parser
from utils.config import DataConfig, RunConfig
from utils.data.coreset import Coreset
from utils.data.coreset_formats import MADE_OF
from utils.data.fingerprint import note_unknown_images
from utils.data.origin import Origin
from utils.data.small_set import load_small_set
from utils.errors import UserError
from utils.files import write_atomic, write_json, write_npz
from utils.records.contact_sheet import Pictures, contact_sheet, load_pictures, write_folder
from utils.records.run_folder import read_run_config, read_scores
from utils.records.tables import CONTACT_SHEET

_INDEX_FORMATS = ("npz", "csv", "json")


@dataclass(frozen=True, eq=False)
class Source:
    """What is exported: a coreset, and the configuration of the run that it came from."""

    coreset: Coreset
    config: RunConfig | None

    @property
    def indices(self) -> np.ndarray:
        """The picks, int64 [k], in their order."""
        return self.coreset.indices

    @property
    def train_images(self) -> str | None:
        """The fingerprint of the training images that the indices count, where it is known."""
        recorded = None if self.config is None else self.config.data.train_images
        return self.coreset.train_images or recorded

    @property
    def title(self) -> str:
        """What the coreset is, in words."""
        count = f"{len(self.indices):,} images"
        if self.config is None:
            return count
        config = self.config
        network = f" with {config.selection.model}" if config.selection.model else ""
        return f"{config.data.dataset}, {config.selection.method}{network}, {config.size}, {count}"


def read_source(path: Path) -> Source:
    """Return the coreset in a run's folder, or in an npz file, with the run's configuration where it is beside it.

    Raises:
        UserError: nothing there, or it is damaged, or no coreset.
    """
    coreset = path / "coreset.npz" if path.is_dir() else path
    small_set = load_small_set(coreset)
    if not isinstance(small_set, Coreset):
        raise UserError(f"{coreset} is a synthetic set: it holds images of its own, and no indices to export")
    in_run = coreset.name == "coreset.npz" and (coreset.parent / "config.json").exists()
    return Source(small_set, read_run_config(coreset.parent) if in_run else None)


def write_indices(path: Path, source: Source, form: str) -> None:
    """Write the indices as npz, csv or json, with weights, and what they stand for as far as that is known."""
    coreset, origin, made_of = source.coreset, source.coreset.origin, source.train_images
    columns = {"index": coreset.indices, "weight": coreset.weights}
    if origin is not None:
        columns |= {"label": origin.labels, "class": np.array(origin.classes), "file": origin.files}
    given = {name: values for name, values in columns.items() if values is not None}
    if form == "npz":
        replace(coreset, gains=None, made_of=made_of).save(path)
    elif form == "csv":
        _write_csv(path, given if made_of is None else given | {MADE_OF: np.repeat(made_of, len(coreset))})
    else:
        plural = {"index": "indices", "weight": "weights", "label": "labels", "class": "classes", "file": "files"}
        about: dict[str, Any] = {} if source.config is None else {"run": source.config.as_dict()}
        about |= {} if made_of is None else {MADE_OF: made_of}
        write_json(path, about | {plural[name]: _plain(values) for name, values in given.items()})


def write_scores(path: Path, scores: Mapping[str, np.ndarray]) -> None:
    """Write the scores of all samples as npz, or, with any other suffix, as csv with a row of names."""
    if path.suffix.lower() == ".npz":
        write_npz(path, scores)
    else:
        singular, n = {"indices": "index", "labels": "label"}, len(scores["indices"])
        columns = {name: values if values.ndim else np.repeat(values, n) for name, values in scores.items()}
        _write_csv(path, {singular.get(name, name): values for name, values in columns.items()})


def _write_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_plain(values) for values in columns.values()), strict=True))
    write_atomic(path, text.getvalue().encode(errors="surrogateescape"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    print(f"wrote {_export(options)}")


def _export(options: argparse.Namespace) -> Path:
    if options.format == "scores":
        scores, output = read_scores(options.source), _output(options)
        write_scores(output, scores)
        return output
    source = read_source(options.source)
    output = _output(options)
    if options.link and options.format != "folder":
        raise UserError("--link goes with --format folder")
    if options.format in _INDEX_FORMATS:
        write_indices(output, _labelled(options, source) if options.labels else source, options.format)
    elif options.format == "folder":
        pictures = _pictures(options, source)
        write_folder(output, pictures, source.coreset, link=options.link, force=options.force)
    else:
        write_atomic(output, _sheet(options, source))
    return output


def _labelled(options: argparse.Namespace, source: Source) -> Source:
    """Return the source with what its indices stand for, looked up in the data where its file does not say it."""
    if source.coreset.origin is not None:
        return source
    told = _pictures(options, source).contents
    assert told is not None
    return replace(source, coreset=replace(source.coreset, origin=Origin.of(told, source.indices)))


def _sheet(options: argparse.Namespace, source: Source) -> bytes:
    pictures = _pictures(options, source)
    title = f"{source.title}: first picks of each class (of how many)"
    if len(pictures.class_names) > options.classes:
        title += f", {options.classes} of {len(pictures.class_names)} classes"
    return contact_sheet(pictures, source.indices, title=title, picks=options.picks, classes=options.classes)


def _output(options: argparse.Namespace) -> Path:
    output: Path | None = options.output
    if output is None:
        if options.format != "contact_sheet" or not options.source.is_dir():
            raise UserError("--output is missing: where should it go?")
        output = options.source / CONTACT_SHEET
    if options.format != "folder" and output.exists() and not options.force:
        raise UserError(f"{output} exists; --force replaces it")
    return output


def _pictures(options: argparse.Namespace, source: Source) -> Pictures:
    """Return the images that the indices point to, all of which exist."""
    if source.config is not None:
        data = source.config.data
    elif options.dataset is not None:
        data = DataConfig(options.dataset)
    else:
        raise UserError("no run's configuration is beside this coreset: name its data with --dataset and --data_path")
    if options.dataset is not None and options.dataset != data.dataset:
        raise UserError(f"--dataset {options.dataset} is not {data.dataset}, which the coreset was selected from")
    if options.data_path is not None:
        data = replace(data, data_path=str(options.data_path))
    if source.train_images is None and source.config is None:
        note_unknown_images(options.source, data)
    pictures = load_pictures(replace(data, train_images=source.train_images))
    count = len(pictures.labels)
    if len(source.indices) and not 0 <= source.indices.min() <= source.indices.max() < count:
        raise UserError(f"the coreset names images outside of the {count:,} in {data.dataset} at {data.data_path}")
    return pictures


def _plain(values: np.ndarray) -> list[Any]:
    """Plain numbers, a float32 with no more digits than it has, or texts."""
    return [float(str(value)) for value in values] if values.dtype.kind == "f" else values.tolist()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m utils.export",
        description="Write a coreset as indices, as a folder of images by class, or as a sheet to look at; "
        "or the scores of all samples that its run keeps.",
    )
    parser.add_argument("source", type=Path, help="the folder of a run, or a coreset's npz file")
    parser.add_argument("--format", required=True, choices=(*_INDEX_FORMATS, "folder", "contact_sheet", "scores"))
    parser.add_argument("--output", type=Path, help=f"where to write (a sheet's default: {CONTACT_SHEET} in the run)")
    parser.add_argument("--data_path", type=Path, help="where the images are, if not where the run had them")
    parser.add_argument("--dataset", help="which images, for an npz file without a run around it")
    parser.add_argument(
        "--labels", action="store_true", help="look up in the data what the indices stand for, where no file says it"
    )
    parser.add_argument("--link", action="store_true", help="link image files into the folder instead of copying")
    parser.add_argument("--picks", type=_positive, default=10, help="images of a class on a sheet (10)")
    parser.add_argument("--classes", type=_positive, default=100, help="classes on a sheet (100)")
    parser.add_argument("--force", action="store_true", help="replace what an earlier export wrote")
    return parser
