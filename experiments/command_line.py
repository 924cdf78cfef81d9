"""A whole command line as one immutable value."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.config import DataConfig, RunConfig, SelectionConfig, TrainingConfig
from utils.coreset_size import CoresetSize, SizeFlags
from utils.execution import ExecutionConfig
from utils.flags import flag, integer, path, switch


@dataclass(frozen=True)
class Settings:
    """A whole command line: one selection, retrained for every size, seed and repeat."""

    data: DataConfig
    selection: SelectionConfig
    training: TrainingConfig
    model: str = flag("ResNet18", "--model", "network", "the network to train: {names}", group="Network")
    sizes: tuple[CoresetSize, ...] = SizeFlags().sizes(balance=True)
    seed: int = flag(0, "--seed", integer(0), "of all randomness; the same seed gives the same result", "N")
    num_exp: int = flag(1, "--num_exp", integer(1, 10_000), "run N seeds: --seed, --seed + 1, ...", "N")
    num_eval: int = flag(
        1, "--num_eval", integer(1, 10_000), "train N freshly initialised networks on each coreset", "N"
    )
    cross: tuple[str, ...] = flag(
        (),
        "--cross",
        "network",
        "further networks, each trained on the same coreset after --model",
        "NAME [NAME ...]",
        group="Network",
    )
    coresets: tuple[str, ...] = flag(
        (),
        "--coreset",
        path,
        "train on these saved coresets, or synthetic sets, instead of selecting",
        "FILE [FILE ...]",
        group="Selection",
    )
    select_only: bool = switch(
        "--select_only",
        "end after the coresets, and retrain nothing; the same command without it goes on from there",
        group="Selection",
    )
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    given: frozenset[str] = frozenset()  # the flags, without dashes, that the command line names itself

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each experiment."""
        return tuple(range(self.seed, self.seed + self.num_exp))

    def run(self, size: CoresetSize, seed: int, selection: SelectionConfig | None = None) -> RunConfig:
        """Return the configuration of one run of this command line, or of one with another selection."""
        return RunConfig(self.data, self.model, selection or self.selection, size, seed, self.training)
