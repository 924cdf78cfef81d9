"""Tests and features: what a network makes of images in evaluation mode."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.data.batches import Batches
from utils.device import autocast, full_precision, lacks_memory
from utils.distributed import SINGLE_PROCESS, World
from utils.seeding import generator

TEST_BATCH = 1024
T = TypeVar("T")


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


def with_batches_that_fit(compute: Callable[[Batches], T], batches: Batches) -> T:
    """Return ``compute(batches)``; where the device lacks the memory, of batches of half the size, and so on.

    For what does not depend on the batch size but for rounding.
    """
    while True:
        try:
            return compute(batches)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error) or batches.batch_size == 1:
                raise
        batches = batches.of_size(-(-batches.batch_size // 2))
        print(f"note: too little memory; trying batches of {batches.batch_size}", file=sys.stderr, flush=True)


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
