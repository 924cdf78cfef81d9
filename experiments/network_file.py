"""Trained networks as files: their parameters, and what they are networks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import nets
from utils.config import DataConfig
from utils.data.fingerprint import check_made_of
from utils.data.registry import DataSpec
from utils.device import memory_layout
from utils.errors import UserError
from utils.training.checkpoint import read_weights, save_checkpoint

NETWORK = "network.pt"  # in the folder of a run


@dataclass(frozen=True)
class NetworkDescription:
    """What a network in a file was made for.

    Attributes:
        model: its name in ``nets.NETWORKS``.
        class_names: in the order of its logits.
        train_images: the fingerprint of the training images of its data set; None where that was not known.
    """

    model: str
    channels: int
    class_names: tuple[str, ...]
    im_size: int
    train_images: str | None

    @classmethod
    def of(cls, model: str, spec: DataSpec, images: DataConfig) -> NetworkDescription:
        """Return the description of a network for these images."""
        return cls(model, spec.channels, spec.class_names, spec.im_size, images.train_images)


def save_network(path: Path, network: nets.Network, description: NetworkDescription) -> None:
    """Write the parameters of a network and its description, atomically."""
    save_checkpoint(path, {"network": network.state_dict(), "description": asdict(description)})


def load_network(
    path: Path, model: str, spec: DataSpec, images: DataConfig, device: torch.device | str
) -> nets.Network:
    """Return the network in a file, in evaluation mode: of ``save_network``, or one that does not describe itself.

    Those are checkpoints, the files of ``proxies/``, and state dicts by ``torch.save``; of them a note says that it is
    not known of which images they were made.

    Raises:
        UserError: the file cannot be read or holds no network, or one of another name, or for other images or classes.
    """
    weights, described = read_weights(path)
    wanted = NetworkDescription.of(model, spec, images)
    found = None if described is None else _description(path, described)
    if found is not None:
        _check(path, found, wanted, spec.name)
    network = nets.build(model, spec.channels, spec.num_classes, spec.im_size)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(f"{path} holds no {model} of these sizes: {str(error)[:200]}") from error
    check_made_of(path, None if found is None else found.train_images, images)
    return network.to(device, memory_format=memory_layout(torch.device(device))).eval()  # type: ignore[call-overload]


def _description(path: Path, values: Mapping[str, Any]) -> NetworkDescription:
    try:
        return NetworkDescription(**{**values, "class_names": tuple(values["class_names"])})
    except (TypeError, KeyError) as error:
        raise UserError(f"{path} does not say what its network is for: {error}") from error


def _check(path: Path, found: NetworkDescription, wanted: NetworkDescription, dataset: str) -> None:
    if found.model != wanted.model:
        raise UserError(f"{path} holds {found.model}, not {wanted.model}; give --selection_model {found.model}")
    if found.class_names != wanted.class_names:
        names, others = (", ".join(each.class_names)[:60] for each in (found, wanted))
        raise UserError(
            f"{path} tells {len(found.class_names)} classes apart ({names}), and {dataset} has "
            f"{len(wanted.class_names)} ({others})"
        )
    sizes = [f"{each.channels} x {each.im_size} x {each.im_size}" for each in (found, wanted)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{path} takes images of {sizes[0]}, and those of {dataset} are {sizes[1]}; see --im_size")
