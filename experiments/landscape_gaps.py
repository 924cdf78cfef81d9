"""How well a coreset matches the loss landscape of the full set at one network: gradient and curvature gaps.

The worst loss difference in a ball of radius ρ grows, to second order, by
‖∇L(T) − ∇L(S)‖₂ + (ρ/2) · λ_max(∇²L(T) − ∇²L(S)) (LCMat, Shin et al. 2023): these two are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.features import Features
from nets import Network
from nets.last_layer import augment, probabilities, residuals
from utils.data.batches import Batch, Batches
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.files import write_json
from utils.training.evaluation import TEST_BATCH, embed_and_classify
from utils.training.machine import Machine

_CHUNK = 4096  # samples in float64 at a time
_ACCURACY = 1e-3  # relative, of the eigenvalue
_RESTARTS = 100
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
    images, part = machine.hold(data.train), coreset.training_set(data)

    def batches(indices: Tensor, weights: Tensor | None, size: int) -> Batches:
        return Batches(
            images,
            data.spec,
            indices,
            size,
            device=machine.device,
            weights=weights,
            workers=machine.execution.workers,
        )

    def features(indices: Tensor) -> Features:
        return Features.of(*embed_and_classify(network.embed, network.classifier, batches(indices, None, TEST_BATCH)))

    gaps = {"last layer": last_layer_gaps(features(data.pool), features(part.indices), part.weights)}
    if exact:
        sides = ((data.pool, None), (part.indices, part.weights))
        gaps["all layers"] = whole_network_gaps(network, *(batches(*side, _EXACT_BATCH) for side in sides))
    return gaps


def last_layer_gaps(full: Features, part: Features, weights: Tensor | None = None) -> Gaps:
    """Return the gaps with respect to the last linear layer, in closed form.

    The Hessian of a sample's cross-entropy is (diag(p) − p pᵀ) ⊗ ẑẑᵀ.

    Args:
        full: of all samples; ``part``: of the coreset, at the same network.
        weights: float [k] of the coreset's samples, or None.
    """
    sides = ((full, _shares(full, None)), (part, -_shares(part, weights)))
    shape = (full.logits.shape[1], full.embeddings.shape[1] + 1)

    def gradient(features: Features, shares: Tensor) -> Tensor:
        return (residuals(features.logits, features.labels) * shares[:, None]).T @ augment(
            features.embeddings
        )  # [C, d + 1]

    def product(features: Features, shares: Tensor, v: Tensor) -> Tensor:
        p, z = probabilities(features.logits), augment(features.embeddings)
        u = z @ v.T  # [n, C]
        return (p * (u - (p * u).sum(dim=1, keepdim=True)) * shares[:, None]).T @ z  # [C, d + 1]

    def hessian_vector(v: np.ndarray) -> np.ndarray:
        matrix = torch.from_numpy(v.reshape(shape)).to(full.embeddings.device, torch.float64)  # [C, d + 1]
        total = sum(product(f, s, matrix) for f, s in _chunks(sides))
        return torch.as_tensor(total).cpu().numpy().ravel()  # [C · (d + 1)]

    difference = torch.as_tensor(sum(gradient(f, s) for f, s in _chunks(sides)))
    losses = [float(F.cross_entropy(f.logits.double(), f.labels, reduction="none") @ s.abs()) for f, s in sides]
    size = shape[0] * shape[1]
    return Gaps(float(difference.norm()), _largest_eigenvalue(hessian_vector, size), losses[1] - losses[0])


def whole_network_gaps(
    network: nn.Module,
    full: Iterable[Batch],
    part: Iterable[Batch],
) -> Gaps:
    """Return the gaps with respect to every parameter, by differentiating twice through batches: minutes, not seconds.

    Args:
        network: in evaluation mode.
        full, part: batches that can be iterated again and again; those of ``part`` may carry weights.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    device = parameters[0].device

    def mean_loss_terms(batches: Iterable[Batch]) -> Iterable[Tensor]:
        total = sum(float(_weights_of(batch).sum()) for batch in batches)
        for batch in batches:
            losses = F.cross_entropy(network(batch.x), batch.y, reduction="none")  # [b]
            yield (losses * _weights_of(batch)).sum() / total

    def gradient(batches: Iterable[Batch]) -> tuple[Tensor, float]:
        total, loss = torch.zeros(size, dtype=torch.float64, device=device), 0.0
        for term in mean_loss_terms(batches):
            total += _flat(torch.autograd.grad(term, parameters)).double()
            loss += float(term.detach())
        return total, loss

    def product(batches: Iterable[Batch], v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for term in mean_loss_terms(batches):
            along = _flat(torch.autograd.grad(term, parameters, create_graph=True)) @ v
            total += _flat(torch.autograd.grad(along, parameters))
        return total

    def hessian_vector(v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(v.ravel()).to(device, parameters[0].dtype)
        return (product(full, vector) - product(part, vector)).double().cpu().numpy()

    size = sum(p.numel() for p in parameters)
    (g_full, l_full), (g_part, l_part) = gradient(full), gradient(part)
    curvature = _largest_eigenvalue(hessian_vector, size)
    return Gaps(float((g_full - g_part).norm()), curvature, l_part - l_full)


def _largest_eigenvalue(product: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """Return λ_max of a symmetric operator given by its products, by Lanczos from a fixed start."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # here, because it takes a while

    start = np.random.default_rng(0).normal(size=size)
    if size <= 2:
        return float(np.linalg.eigvalsh(np.stack([product(row) for row in np.eye(size)]))[-1])
    if not np.linalg.norm(product(start)) > 1e-12 * np.linalg.norm(start):
        return 0.0
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        values = eigsh(operator, k=1, which="LA", v0=start, tol=_ACCURACY, maxiter=_RESTARTS, return_eigenvectors=False)
    except ArpackNoConvergence as error:
        values = error.eigenvalues if len(error.eigenvalues) else np.array([np.nan])
    return float(values[-1])


def _shares(features: Features, weights: Tensor | None) -> Tensor:
    """Return each sample's share of the mean, float64 [n], on the device of the features."""
    n, device = len(features), features.labels.device
    if weights is None:
        return torch.full((n,), 1 / n, dtype=torch.float64, device=device)
    shares = weights.to(device).double()
    return shares / shares.sum()


def _chunks(sides: Iterable[tuple[Features, Tensor]]) -> Iterable[tuple[Features, Tensor]]:
    for features, shares in sides:
        for at in torch.arange(len(features), device=features.labels.device).split(_CHUNK):
            yield features.subset(at), shares[at]


def _weights_of(batch: Batch) -> Tensor:
    return torch.ones_like(batch.y, dtype=torch.float32) if batch.weight is None else batch.weight


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])  # [number of parameters]
