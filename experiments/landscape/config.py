"""What a landscape is drawn of, and where."""

from __future__ import annotations

from dataclasses import dataclass

from utils.errors import UserError
from utils.flags import OneOf, flag, integer, number, optional_path, path

DIRECTIONS, LAYERS, WORST_CASES = ("random", "sharpest"), ("all", "last"), ("last", "all", "none")


def odd(text: str) -> int:
    """Read an odd number of points from 3 to 1001: the middle one is the network itself."""
    points = integer(3, 1001)(text)
    if points % 2 == 0:
        raise UserError(f"must be odd, so that the network itself is among the points, not {text!r}; try {points + 1}")
    return points


@dataclass(frozen=True)
class LandscapeConfig:
    """The flags of ``landscape.py`` that say which losses are looked at, and where."""

    runs: tuple[str, ...] = flag(
        (),
        "--runs",
        path,
        "the coresets of these runs, or of all runs in these folders, each at the proxy that it was selected through",
        "DIR [DIR ...]",
    )
    network: str | None = flag(
        None,
        "--network",
        optional_path,
        "look around the network in this file: kept by --save_network, of proxies/, a checkpoint, or a state dict",
        "FILE.pt",
    )
    directions: str = flag(
        "random",
        "--directions",
        OneOf("directions", DIRECTIONS),
        "random: two random ones, scaled filter by filter; sharpest: the eigenvectors of the largest eigenvalues of "
        "the difference of Hessians, the full set's less the first coreset's",
    )
    radius: float = flag(
        1.0,
        "--radius",
        number("(0, inf)"),
        "how far to go along each direction; at 1 a random direction is as long as the filter that it moves, and a "
        "sharpest one has length 1",
        "R",
    )
    points: int = flag(21, "--points", odd, "odd number of points along each direction; one pass a point", "N")
    layers: str = flag(
        "all",
        "--layers",
        OneOf("layers", LAYERS),
        "all: move every layer, one pass through the network a point; last: the last linear layer alone, in seconds",
    )
    images: int | None = flag(
        None,
        "--images",
        integer(1),
        "estimate the full set's loss by N of its images, drawn at random (default: all); coresets are looked at whole",
        "N",
    )
    worst_case: str = flag(
        "last",
        "--worst_case",
        OneOf("worst_case", WORST_CASES),
        "search for the worst change of the loss difference within a ball: of the last layer alone, of all layers too "
        "(many passes), or none",
    )
    rho: float | None = flag(
        None,
        "--rho",
        number("(0, inf)"),
        "radius of that ball (default: no logit of a typical image moves by more than 1 if the last layer does)",
        "R",
    )
    random: int = flag(10, "--random", integer(2, 1000), "random coresets to compare each worst case with", "N")
