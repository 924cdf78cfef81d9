"""Proxy networks: trained on all that may be selected, cached by everything that they depend on."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import nets
from experiments.network_file import load_network
from utils.config import DataConfig, TrainingConfig, digest, without_unset
from utils.data.load import Data
from utils.data.training_set import TrainingSet
from utils.device import is_of_the_device, memory_layout
from utils.files import content_digest, remove_leftovers, set_aside
from utils.lock import FileLock
from utils.seeding import seed_torch
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.machine import Machine
from utils.training.trainer import Observer, Training, TrainingResult

_FOLDER = "proxies"


@dataclass(frozen=True)
class ProxyConfig:
    """What a proxy depends on beside the data."""

    model: str
    training: TrainingConfig
    seed: int
    repeat: int = 0  # of several independent proxies; 0 is the one that features come from

    @property
    def purpose(self) -> str:
        """The name of its random numbers."""
        return f"proxy {self.repeat}"


@dataclass(frozen=True, eq=False)
class Proxy:
    """A trained network in evaluation mode, and what its training came to."""

    config: ProxyConfig
    key: str  # digest of all that it depends on
    network: nets.Network
    result: TrainingResult


def proxy_key(config: ProxyConfig, data: Data, device: torch.device, processes: int = 1) -> str:
    """Return a digest of everything that the trained proxy depends on; how often it is tested is not among it."""
    training = dataclasses.replace(config.training, test_interval=0, test_fraction=1.0)
    return digest(
        {
            "proxy": {**asdict(config), "training": without_unset(asdict(training))},
            "data": data.fingerprint,
            "pool": hashlib.sha256(data.pool.numpy().tobytes()).hexdigest(),
            "torch": torch.__version__,
            "device": device.type,
            "processes": processes,
        }
    )


def train_proxy(config: ProxyConfig, data: Data, machine: Machine, observer: Observer) -> Proxy:
    """Train a fresh network on ``data.pool``; or take the one that was trained before.

    A hit gives the network, the observer's state, the history and the seconds of the training that was.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    world = machine.world
    key = proxy_key(config, data, machine.device, world.size)
    path = Path(machine.execution.save_path) / _FOLDER / f"{key}.pt"
    checkpoint = path.with_suffix(".checkpoint")
    with world.context_on_rank_zero(FileLock(path.with_suffix(".lock"))):
        world.on_rank_zero(remove_leftovers, path.parent, key)
        proxy = _kept(path, config, key, _fresh_network(config, data), observer, machine)
        if proxy is None:
            network = _fresh_network(config, data)
            proxy = Proxy(config, key, network, _train(config, network, data, machine, observer, checkpoint))
            state = {
                "network": network.state_dict(),
                "observer": observer.state_dict(),
                "outcome": asdict(proxy.result),
            }
            world.on_rank_zero(save_checkpoint, path, state)
        checkpoint.unlink(missing_ok=True)
    proxy.network.eval()
    return proxy


def given_proxy(path: Path, config: ProxyConfig, data: Data, images: DataConfig, machine: Machine) -> Proxy:
    """Return the trained network in a file as a proxy; ``images`` says by a fingerprint which those of ``data`` are.

    Raises:
        UserError: no network, or not one for this data.
    """
    network = load_network(path, config.model, data.spec, images, machine.device)
    return Proxy(config, content_digest(path), network, TrainingResult((), 0, 0.0, 0.0))


def _fresh_network(config: ProxyConfig, data: Data) -> nets.Network:
    seed_torch(config.seed, config.purpose, "network")
    return nets.build(config.model, data.spec.channels, data.spec.num_classes, data.spec.im_size)


def _train(
    config: ProxyConfig, network: nets.Network, data: Data, machine: Machine, observer: Observer, checkpoint: Path
) -> TrainingResult:
    training = Training(
        network,
        TrainingSet(data, data.pool),
        dataclasses.replace(config.training, test_interval=machine.execution.proxy_test_interval),
        seed=config.seed,
        purpose=config.purpose,
        label=f"proxy {config.model}" + (f" {config.repeat}" if config.repeat else ""),
        machine=machine,
        observer=observer,
        checkpoint=checkpoint,
    )
    return training.run()


def _kept(
    path: Path, config: ProxyConfig, key: str, network: nets.Network, observer: Observer, machine: Machine
) -> Proxy | None:
    """Return the proxy in a file, put into ``network``; None where there is none, or one that does not fit."""
    state = machine.world.on_rank_zero(load_checkpoint, path, "cpu")
    if state is None:
        return None
    try:
        result = TrainingResult.from_dict(state["outcome"])
        network.load_state_dict(state["network"])
        network.to(machine.device, memory_format=memory_layout(machine.device))  # type: ignore[call-overload]
        observer.load_state_dict(state["observer"])
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        if is_of_the_device(error):
            raise
        machine.world.on_rank_zero(set_aside, path, f"is not this proxy ({str(error).partition(':')[0]})")
        return None
    return Proxy(config, key, network, result)
