"""Tests and features: what a network makes of images in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.data.batches import Batches
from utils.device import autocast, full_precision
from utils.distributed import SINGLE_PROCESS, World
from utils.seeding import generator

TEST_BATCH = 1024


def evaluate(
    network: nn.Module, batches: Batches, amp: bool = False, world: World = SINGLE_PROCESS
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy in percent, over the batches that ``world`` shares out."""
    sums = torch.zeros(3, dtype=torch.float64, device=next(network.parameters()).device)  # loss, correct, images
    network.eval()
    with torch.inference_mode():
        for batch in batches:
            with autocast(batch.x.device, amp):
                logits = network(batch.x)
            sums[0] += F.cross_entropy(full_precision(logits), batch.y, reduction="sum")
            sums[1] += (logits.argmax(dim=1) == batch.y).sum()
            sums[2] += len(batch)
    loss, correct, images = world.all_reduce(sums).tolist()
    return loss / images, 100 * correct / images


def test_indices(n: int, fraction: float, seed: int) -> Tensor:
    """Return which of ``n`` test images to test on: all, or the same seeded part at every test; int64, ascending."""
    if fraction >= 1:
        return torch.arange(n)
    chosen = torch.randperm(n, generator=generator(seed, "test fraction"))[: max(1, round(fraction * n))]
    return chosen.sort().values


def embed_and_classify(
    embed: Callable[[Tensor], Tensor], classifier: nn.Module, batches: Batches
) -> tuple[Tensor, Tensor, Tensor]:
    """Return embeddings [n, d], logits [n, C] in float32 and labels int64 [n] on the batches' device, in their order.

    The caller has put the network into evaluation mode. Batch sizes change nothing but rounding.
    """
    embeddings, logits, labels = [], [], []
    with torch.no_grad():
        for batch in batches:
            z = embed(batch.x)
            embeddings.append(z.float())
            logits.append(classifier(z).float())
            labels.append(batch.y)
    return torch.cat(embeddings), torch.cat(logits), torch.cat(labels)
