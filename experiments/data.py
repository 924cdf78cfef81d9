"""The images of a run at the size that a network takes."""

from __future__ import annotations

import nets
from utils.config import DataConfig
from utils.data.fingerprint import check_same_images, identified
from utils.data.load import Data, load_once
from utils.training.machine import Machine


def data_for(model: str, config: DataConfig, seed: int, machine: Machine) -> Data:
    """Return the data set of ``config`` for the network ``model``.

    The seed decides what --val holds out, and which labels --label_noise makes wrong.

    Raises:
        UserError: an unknown data set, missing or unreadable data, images too small for the network, or other
            training images than ``config`` records.
    """
    if config.train_images is not None:
        check_same_images("the run", config.train_images, as_found(config, machine))
    drawn_by = seed if config.val or config.label_noise is not None else 0
    return load_once(config, nets.smallest_image(model), drawn_by, machine.execution.workers)


def as_found(config: DataConfig, machine: Machine) -> DataConfig:
    """Return the configuration with the fingerprints of the images that are there now; folders record them.

    Raises:
        UserError: an unknown data set, or missing or unreadable data.
    """
    return machine.world.on_rank_zero(identified, config)
