"""Features of the shapes that selections are measured on: clusters of embeddings, read by a linear layer."""

from __future__ import annotations

import math

import numpy as np
import torch

from methods.features import Features

DIMENSIONS = 512
_IMAGENET = 1_281_167
_AT_ONCE = 1 << 15


def one_class(n: int, classes: int = 10, dtype: torch.dtype = torch.float32) -> Features:
    """Return ``n`` samples of one class out of ``classes``, most classified rightly, as in one class of CIFAR-10."""
    return _features(torch.zeros(n, dtype=torch.int64), classes, dtype)


def even(n: int, classes: int = 10) -> Features:
    """Return ``n`` samples of ``classes`` classes of one size."""
    return _features(torch.arange(n) % classes, classes)


def imagenet() -> Features:
    """Return as many samples in as many classes as ImageNet has to train on, as unevenly shared out."""
    sizes = imagenet_sizes()
    return _features(torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)), len(sizes))


def imagenet_sizes() -> np.ndarray:
    """Return the samples of each class, int64 [1000]: 895 classes of 1300, the others from 943 up."""
    sizes = np.full(1000, 1300)
    sizes[895:] = np.linspace(943, 1299, 105).round()
    sizes[-1] += _IMAGENET - sizes.sum()
    return sizes


def _features(labels: torch.Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Features:
    """Make features in parts, so that nothing but the result takes much memory."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, DIMENSIONS, generator=random, dtype=dtype)
    sharpness = 0.012 * math.log(classes)
    embeddings = torch.empty(len(labels), DIMENSIONS, dtype=dtype)
    logits = torch.empty(len(labels), classes, dtype=dtype)
    for rows in torch.arange(len(labels)).split(_AT_ONCE):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        clarity = torch.rand(len(rows), 1, generator=random, dtype=dtype)  # some samples are hard
        noise = torch.randn(len(rows), DIMENSIONS, generator=random, dtype=dtype)
        embeddings[part] = (clarity * centres[labels[part]] + noise).relu_()
        logits[part] = (embeddings[part] @ centres.T).mul_(sharpness)
    return Features(embeddings, logits, labels)
