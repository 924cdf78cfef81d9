"""Every flag of the command line: its names, what it reads, its default, and what it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.arguments.choices import Choices
from experiments.arguments.types import (
    augmentation,
    integer,
    number,
    one_of,
    optimizer,
    optional_path,
    path,
    size,
    yes_no,
)
from utils.data.siamese import FAMILIES
from utils.training.optimizers import SCHEDULERS


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        names: the flag and its aliases, separated by spaces.
        read: from the text of one value to the value; raises ArgumentTypeError.
        default: None where nothing stands in for it, or ``help`` says what does.
        metavar: how help shows the value; ``A [A ...]`` is a flag of one or several values, kept as a tuple.
    """

    names: str
    read: Callable[[str], Any]
    default: Any
    metavar: str
    help: str

    @property
    def name(self) -> str:
        """The flag without its dashes, as values are kept under it."""
        return self.names.split()[0].removeprefix("--")

    @property
    def several(self) -> bool:
        """Whether it takes one value or more."""
        return self.metavar.endswith("...]")


def flags(choices: Choices) -> Mapping[str, tuple[Flag, ...]]:
    """All flags by the group that help shows them in."""
    return {
        "Data": _data(choices),
        "Network": _network(choices),
        "Selection": (*_selection(choices), *_method_options(choices)),
        "Proxy training": PROXY,
        "Retraining": (*_SCHEDULE, *_RETRAINING),
        "Output": _OUTPUT,
        "Machine": _MACHINE,
    }


def _switch(names: str, help: str, default: bool = False) -> Flag:
    return Flag(names, yes_no, default, "[yes|no]", help)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _data(choices: Choices) -> tuple[Flag, ...]:
    return (
        Flag(
            "--dataset",
            one_of("dataset", choices.datasets),
            "CIFAR10",
            "NAME",
            f"the images to select from: {_listed(choices.datasets)}; names may be given in any case",
        ),
        Flag(
            "--data_path",
            path,
            "data",
            "DIR",
            "where data sets are looked for and downloaded to",
        ),
        Flag("--im_size", integer(1), None, "N", "resize images to N x N (default: the data set's own size)"),
        _switch("--val", "hold a stratified, seeded part of the training images out, as validation set"),
        Flag("--val_ratio", number("(0, 1)"), 0.2, "R", "how much of the training set --val holds out"),
    )


def _network(choices: Choices) -> tuple[Flag, ...]:
    networks = one_of("network", choices.networks)
    return (
        Flag("--model", networks, "ResNet18", "NAME", f"the network to train: {_listed(choices.networks)}"),
        Flag(
            "--cross",
            networks,
            choices.cross,
            "NAME [NAME ...]",
            "further networks, each trained on the same coreset after --model",
        ),
    )


def _selection(choices: Choices) -> tuple[Flag, ...]:
    methods = tuple(method.name for method in choices.methods)
    return (
        Flag("--selection", one_of("selection", methods), "LCMat", "NAME", f"the method: {_listed(methods)}"),
        Flag(
            "--fraction",
            number("(0, 1]"),
            (0.1,),
            "F [F ...]",
            "the part of the training set to keep; several share one proxy and one selection",
        ),
        Flag(
            "--selection_model",
            one_of("network", choices.networks),
            None,
            "NAME",
            "the network to select with, where it is not the one to train (default: --model)",
        ),
        Flag(
            "--features",
            optional_path,
            None,
            "FILE.npz",
            "select by these embeddings, logits and labels, saved by --save_features or made elsewhere; no proxy",
        ),
        Flag(
            "--coreset",
            path,
            (),
            "FILE [FILE ...]",
            "train on these saved coresets, or synthetic sets, instead of selecting",
        ),
        _switch("--balance", "give every class its share of the coreset, instead of ranking all at once", True),
    )


def _method_options(choices: Choices) -> tuple[Flag, ...]:
    return (
        Flag("--eps", number("[0, inf)"), 0.05, "E", "LCMat: weight of the curvature term, half the radius"),
        Flag("--K", integer(1), 100, "N", "LCMat: coordinates of the Hessian diagonal compared, per class"),
        _switch("--weighted", "set functions: weigh each picked image by the number that it stands for"),
        Flag(
            "--kernel",
            one_of("kernel", choices.kernels),
            "cosine",
            "NAME",
            f"Submodular: how alike two images are: {_listed(choices.kernels)}; worst with FacilityLocation is LCMat",
        ),
        Flag(
            "--submodular",
            one_of("submodular", choices.submodulars),
            "GraphCut",
            "NAME",
            f"Submodular: the set function: {_listed(choices.submodulars)}",
        ),
        Flag(
            "--submodular_greedy",
            one_of("submodular_greedy", choices.greedies),
            "LazyGreedy",
            "NAME",
            f"the greedy maximiser of set functions: {_listed(choices.greedies)}",
        ),
        Flag(
            "--uncertainty",
            one_of("uncertainty", choices.uncertainties),
            "Entropy",
            "NAME",
            f"Uncertainty: what counts as unsure: {_listed(choices.uncertainties)}",
        ),
        _switch("--pretrained", "kCenterGreedy, Cal: measure by an ImageNet network instead of the proxy"),
        _switch("--backpack", "accepted and ignored: curvature has a closed form and needs no backward pass"),
    )


PROXY = (
    Flag("--selection_epochs -se", integer(1), 40, "N", "passes over the training set, at a constant lr"),
    Flag(
        "--selection_batch -sb",
        integer(1),
        None,
        "N",
        "images per step (default: --batch)",
    ),
    Flag("--selection_optimizer -so", optimizer, "SGD", "NAME", "a torch.optim class"),
    Flag("--selection_lr -slr", number("(0, inf)"), 0.1, "LR", "learning rate"),
    Flag("--selection_momentum -sm", number("[0, 1)"), 0.9, "M", "momentum, for optimisers that have it"),
    Flag("--selection_weight_decay -swd", number("[0, inf)"), 5e-4, "W", "weight decay"),
    _switch("--selection_nesterov -sn", "Nesterov's form of momentum, for SGD", True),
    Flag(
        "--selection_test_interval -sti",
        integer(0),
        1,
        "N",
        "test the proxy every N epochs (0: after the last); for the log, no selection depends on it",
    ),
    Flag(
        "--selection_test_fraction -stf",
        number("(0, 1]"),
        1.0,
        "F",
        "the part of the test set that is used for that",
    ),
)

_SCHEDULE = (
    Flag("--optimizer", optimizer, "SGD", "NAME", "a torch.optim class, given the settings that it takes"),
    Flag("--lr", number("(0, inf)"), 0.1, "LR", "the highest learning rate; also Glister's step"),
    Flag("--min_lr", number("[0, inf)"), 1e-4, "LR", "where schedules that fall to a floor end"),
    Flag("--momentum", number("[0, 1)"), 0.9, "M", "momentum, for optimisers that have it"),
    Flag("--weight_decay -wd", number("[0, inf)"), 5e-4, "W", "weight decay"),
    _switch("--nesterov", "Nesterov's form of momentum, for SGD", True),
    Flag(
        "--scheduler",
        one_of("scheduler", (*SCHEDULERS, "none")),
        "CosineAnnealingLR",
        "NAME",
        f"learning-rate schedule, stepped every batch: {_listed(SCHEDULERS)}, or none for a constant lr",
    ),
    Flag("--gamma", number("(0, 1]"), 0.5, "G", "factor of StepLR, ExponentialLR (an epoch) and ConstantLR"),
    Flag("--step_size", integer(1), 50, "N", "epochs between the steps, cycles or restarts of a schedule"),
)

_RETRAINING = (
    Flag("--epochs", integer(1), 200, "N", "passes over the coreset"),
    Flag("--batch --batch-size -b", integer(1), 256, "N", "images per step, of proxy and retraining alike"),
    Flag("--train_batch -tb", integer(1), None, "N", "images per step of retraining (default: --batch)"),
    Flag(
        "--augmentation",
        augmentation,
        "standard",
        "NAME",
        f"standard (the data set's own), none, or siamese: one or several of {_listed(tuple(FAMILIES))}, joined by _",
    ),
    Flag("--test_interval -ti", integer(0), 1, "N", "test every N epochs and after the last (0: only then)"),
    Flag("--test_fraction -tf", number("(0, 1]"), 1.0, "F", "the part of the test set to test on"),
    Flag("--seed", integer(0), 0, "N", "of all randomness; the same seed gives the same result"),
    Flag("--num_exp", integer(1, 10_000), 1, "N", "run N seeds: --seed, --seed + 1, ..."),
    Flag("--num_eval", integer(1, 10_000), 1, "N", "train N freshly initialised networks on each coreset"),
)


_OUTPUT = (
    Flag("--save_path -sp", path, "result", "DIR", "where each run gets its folder"),
    Flag("--resume -r", optional_path, None, "PATH", "go on with the run in this folder or checkpoint"),
    Flag(
        "--checkpoint_interval",
        number("[0, inf)"),
        10.0,
        "S",
        "seconds of work that an interruption may cost, at most an epoch more",
    ),
    Flag("--print_freq -p", integer(1), 100, "N", "steps between two lines of a log that is not a terminal"),
    _switch("--save_features", "keep the proxy's embeddings and logits, to select again without it"),
    _switch("--after_analyses", "compare the curvature of coreset and full set after retraining"),
    _switch("--exact_analyses", "the same with exact instead of estimated eigenvalues; slow"),
)

_MACHINE = (
    Flag("--gpu", integer(0), (), "ID [ID ...]", "CUDA devices to use (default: the first, or else the CPU)"),
    Flag("--workers -j", integer(0, 1024), 4, "N", "loader processes, for data that does not fit in memory"),
    Flag(
        "--data_on_device",
        one_of("data_on_device", ("auto", "on", "off")),
        "auto",
        "WHEN",
        "keep the images on the training device: auto (where they fit), on or off",
    ),
    Flag(
        "--memory_budget",
        size,
        None,
        "SIZE",
        "what selection may use, in bytes or as 512MB, 8GB (default: a part of what is free)",
    ),
    _switch("--amp", "train in bfloat16 where that is safe; faster on GPUs, results differ in rounding"),
    _switch("--compile", "compile networks with torch.compile before training"),
    _switch("--profile", "write a torch profiler trace into the run's folder"),
)
