"""Tests and features: what a network makes of images in evaluation mode."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.data.batches import Batches
from utils.device import autocast, full_precision, lacks_memory
from utils.distributed import SINGLE_PROCESS, World
from utils.seeding import generator

TEST_BATCH = 1024
_TOP = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """What a network makes of labelled images; accuracies in percent.

    Attributes:
        loss: mean cross-entropy.
        accuracy: of all images.
        by_class: of the images of each class; None where there are none.
        top5: how many images have their class among the five likeliest; None where there are no more classes.
    """

    loss: float
    accuracy: float
    by_class: tuple[float | None, ...]
    top5: float | None


def evaluate(network: nn.Module, batches: Batches, amp: bool = False, world: World = SINGLE_PROCESS) -> Evaluation:
    """Return loss and accuracies over the batches that ``world`` shares out."""
    sums: Tensor | float = 0.0
    network.eval()
    with torch.inference_mode():
        for batch in batches:
            with autocast(batch.x.device, amp):
                logits = network(batch.x)
            sums = sums + _sums(full_precision(logits), batch.y)
    assert isinstance(sums, Tensor)
    loss, top, *counts = world.all_reduce(sums).tolist()
    classes = len(counts) // 2
    correct, images = counts[:classes], counts[classes:]
    return Evaluation(
        loss / sum(images),
        100 * sum(correct) / sum(images),
        tuple(100 * right / all_ if all_ else None for right, all_ in zip(correct, images, strict=True)),
        100 * top / sum(images) if classes > _TOP else None,
    )


def _sums(logits: Tensor, labels: Tensor) -> Tensor:
    """Return sums over a batch, float64 [2 + 2 C]: loss, labels in the top five, of each class correct and images."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    own, label = logits.gather(1, labels[:, None]), labels[:, None]  # [b, 1]
    ahead = ((logits > own) | ((logits == own) & (classes < label))).sum(dim=1)  # [b], of classes; ties go to the first
    loss = F.cross_entropy(logits, labels, reduction="sum")
    counts = logits.new_zeros(2, len(classes), dtype=torch.float64)
    counts[0].index_add_(0, labels, (logits.argmax(dim=1) == labels).double())
    counts[1].index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
    return torch.cat([loss.double()[None], (ahead < _TOP).sum().double()[None], counts.flatten()])  # [2 + 2 C]


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
