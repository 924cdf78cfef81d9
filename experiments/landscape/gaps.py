"""How well a coreset matches the loss landscape of the full set at one network: gradient and curvature gaps.

The worst loss difference in a ball of radius ρ grows, to second order, by
‖∇L(T) − ∇L(S)‖₂ + (ρ/2) · λ_max(∇²L(T) − ∇²L(S)) (LCMat, Shin et al. 2023): these two are measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.landscape.surface import Shares
from experiments.landscape.whole_network import WholeNetworkDifference
from methods.features import Features
from nets import Network
from utils.data.batches import Batch, Batches
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.files import write_json
from utils.landscape.certificate import eigenvalues
from utils.landscape.eigenvalues import largest_eigenvalue
from utils.landscape.last_layer import LastLayerDifferences
from utils.training.evaluation import TEST_BATCH, embed_and_classify
from utils.training.machine import Machine

_EXACT_BATCH = 256


@dataclass(frozen=True)
class Gaps:
    """What sets the coreset's mean loss apart from the full set's.

    Attributes:
        gradient: ‖∇L(T) − ∇L(S)‖₂.
        curvature: λ_max(∇²L(T) − ∇²L(S)), the largest eigenvalue.
        loss: L(S) − L(T).
    """

    gradient: float
    curvature: float
    loss: float

    def __str__(self) -> str:
        return f"gradient gap {self.gradient:.4g}, curvature gap {self.curvature:.4g}, loss gap {self.loss:.4g}"


def record_gaps(folder: Path, network: Network, data: Data, coreset: Coreset, machine: Machine) -> None:
    """Measure the gaps of a coreset at ``network``, print them, and write them to ``analyses.json`` in ``folder``."""
    gaps = measure_gaps(network, data, coreset, machine, exact=machine.execution.exact_analyses)
    write_json(folder / "analyses.json", {name: asdict(each) for name, each in gaps.items()})
    for name, each in gaps.items():
        print(f"{name}: {each}")


def measure_gaps(network: Network, data: Data, coreset: Coreset, machine: Machine, exact: bool) -> dict[str, Gaps]:
    """Return the gaps of a coreset at ``network``, in evaluation mode: of the last layer, ``exact``: of all layers too.

    Raises:
        UserError: the coreset does not fit the data.
    """
    coreset.check_fits(len(data.train))
    shares, images = Shares.of(data.pool, [coreset]), machine.hold(data.train)
    difference = shares.difference(1)

    def batches(size: int) -> Batches:
        workers = machine.execution.workers
        return Batches(images, data.spec, shares.indices, size, device=machine.device, workers=workers)

    features = Features.of(*embed_and_classify(network.embed, network.classifier, batches(TEST_BATCH)))
    gaps = {"last layer": last_layer_gaps(features, difference)}
    if exact:
        gaps["all layers"] = whole_network_gaps(network, batches(_EXACT_BATCH), difference)
    return gaps


def last_layer_gaps(features: Features, shares: Tensor) -> Gaps:
    """Return the gaps with respect to the last linear layer, in closed form.

    Args:
        features: of m samples.
        shares: float64 [m], what each counts in the full set's mean loss less what it counts in the coreset's.
    """
    y = features.labels
    difference = LastLayerDifferences(features.embeddings, features.logits, y, shares.to(y.device)[None])
    value, gradient = difference(torch.zeros(1, difference.size, dtype=torch.float64, device=y.device))
    return Gaps(float(gradient.norm()), eigenvalues(difference)[0], -float(value))


def whole_network_gaps(network: nn.Module, batches: Iterable[Batch], shares: Tensor) -> Gaps:
    """Return the gaps with respect to every parameter, by differentiating twice through batches: minutes, not seconds.

    Args:
        network: in evaluation mode.
        batches: of m samples, that can be iterated again and again.
        shares: float64 [m], as above.
    """
    difference = WholeNetworkDifference(network, batches, shares)
    value, gradient = difference(difference.zero)
    curvature = largest_eigenvalue(difference.hessian_product, difference.size)
    return Gaps(float(gradient.norm()), curvature, -float(value))
