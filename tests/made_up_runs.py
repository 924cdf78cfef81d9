"""Runs that nobody made, with numbers chosen to be checked by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from utils.config import (
    DataConfig,
    OptionValue,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import CoresetSize
from utils.files import write_npz
from utils.records.continual_measures import ContinualMeasures
from utils.records.run_folder import RunFolder
from utils.records.summary import Summary, summarise
from utils.scenario import ScenarioConfig
from utils.training.history import Epoch


def made_up_config(
    method: str = "LCMat",
    *,
    dataset: str = "Digits",
    data_path: str = "data",
    model: str = "MLP",
    selection_model: str | None = None,
    options: Mapping[str, OptionValue] | None = None,
    size: CoresetSize | None = None,
    fraction: float = 0.1,
    seed: int = 0,
    repeat: int = 0,
    training: TrainingConfig | None = None,
    scenario: ScenarioConfig | None = None,
) -> RunConfig:
    """One configuration; Uniform and Full have no proxy, others have ``model`` unless told otherwise."""
    proxy = None if method in ("Uniform", "Full") else selection_model or model
    selection = SelectionConfig(
        method, options=options or {}, model=proxy, proxy=None if proxy is None else TrainingConfig(epochs=3)
    )
    size = size or CoresetSize.of(fraction=fraction)
    training = training or TrainingConfig(epochs=2)
    return RunConfig(DataConfig(dataset, data_path), model, selection, size, seed, training, repeat, scenario)


def made_up_history(final: float, best: float) -> list[Epoch]:
    """Two epochs, the first with the best test."""
    return [Epoch(1, 0.1, 1.5, 40.0, 1.25, best), Epoch(2, 0.05, 0.75, 60.0, 1.0, final)]


def made_up_summary(
    config: RunConfig,
    final: float,
    best: float,
    size: int = 3,
    training: float = 4.0,
    wrong_labels: float | None = None,
) -> Summary:
    """The summary that belongs to :func:`made_up_history`."""
    return summarise(
        config,
        made_up_history(final, best),
        coreset_size=size,
        pool_size=30,
        training_steps=1200,
        seconds={"training": training},
        peak_memory_bytes=250_000_000,
        device="a made-up machine",
        wrong_labels=wrong_labels,
        continual=None if config.scenario is None else ContinualMeasures.of([[0]], [[final]], [final]),
    )


def finish_run(
    save_path: Path,
    config: RunConfig,
    final: float,
    best: float | None = None,
    indices: np.ndarray | None = None,
    training: float = 4.0,
    wrong_labels: float | None = None,
) -> Path:
    """Record a complete run and return its folder."""
    best = final if best is None else best
    indices = np.arange(3) if indices is None else indices
    with RunFolder(config, save_path) as run:
        write_npz(run.coreset_path, {"indices": indices})
        run.write_history(made_up_history(final, best))
        run.finish(made_up_summary(config, final, best, len(indices), training, wrong_labels))
        return run.path
