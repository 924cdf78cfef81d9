"""Selection on a GPU: the picks of the CPU, no tensor meets one of another device, and a pick never waits."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from gpu.pretended_gpu import PretendedGpu
from method_problems import problem
from torch import nn

from methods import METHODS, select_coreset
from methods.base import FEATURES
from methods.features import Features
from methods.greedy.class_batches import batched_greedy
from methods.greedy.distances import CurvatureDistance
from nets import pretrained
from utils.data.batches import Batches
from utils.data.images import MemoryImages
from utils.data.registry import DataSpec

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_picks_what_it_picks_on_the_cpu(name, balance):
    features = problem(n=36).features
    needs = METHODS[name]().needs
    given = {"labels": features.labels}
    given |= {need.value: getattr(features, need.value) for need in FEATURES if need in needs}
    if set(needs) - set(FEATURES):
        given["scores"] = torch.rand(36, generator=torch.Generator().manual_seed(0))
    expected = select_coreset(name, fraction=0.25, balance=balance, **given)
    with PretendedGpu():
        there = {key: each.to(GPU) for key, each in given.items()}
        found = select_coreset(name, fraction=0.25, balance=balance, **there)
    assert found.indices.tolist() == expected.indices.tolist()
    assert (found.weights is None) == (expected.weights is None)
    if expected.weights is not None:
        assert found.weights.tolist() == pytest.approx(expected.weights.tolist(), rel=1e-6)


SET_FUNCTIONS = [
    *(("LCMat", {"greedy": greedy}) for greedy in ("NaiveGreedy", "LazyGreedy", "StochasticGreedy")),
    ("LCMat", {"greedy": "ApproximateLazyGreedy", "weighted": True}),
    *(("Submodular", {"submodular": name, "kernel": "cosine"}) for name in ("GraphCut", "LogDeterminant")),
    ("Submodular", {"submodular": "LogDeterminant", "kernel": "grad_l2"}),
]


@pytest.mark.parametrize("memory_budget", [None, 1, 9000])
@pytest.mark.parametrize(("name", "options"), SET_FUNCTIONS)
def test_every_way_to_maximise_a_set_function(name, options, memory_budget):
    features = problem(n=36).features
    given = {"fraction": 0.25, "balance": False, "memory_budget": memory_budget, **options}
    expected = select_coreset(
        name, embeddings=features.embeddings, logits=features.logits, labels=features.labels, **given
    )
    with PretendedGpu():
        found = select_coreset(
            name, embeddings=features.embeddings.to(GPU), logits=features.logits, labels=features.labels, **given
        )
    assert found.indices.tolist() == expected.indices.tolist()


@pytest.mark.parametrize("partitions", ["2", "near:2"])
def test_parts_are_those_of_the_cpu(partitions):
    features = problem(n=60).features
    given = {"labels": features.labels, "fraction": 0.2, "balance": False, "partitions": partitions}
    expected = select_coreset("Craig", embeddings=features.embeddings, logits=features.logits, **given)
    with PretendedGpu():
        found = select_coreset("Craig", embeddings=features.embeddings.to(GPU), logits=features.logits, **given)
    assert found.indices.tolist() == expected.indices.tolist()


def test_classes_together_are_picked_without_waiting(gpu):
    features = problem(n=36).features
    z, waits = features.embeddings.to(GPU), []
    for fraction in (0.2, 0.6):
        with gpu.phase(str(fraction)) as phase:
            select_coreset("LCMat", embeddings=z, logits=features.logits, labels=features.labels, fraction=fraction)
        waits.append(phase.waits.total())
    assert waits[0] == waits[1]


@pytest.mark.parametrize("name", ["Glister", "GradMatch", "Forgetting"])
@pytest.mark.parametrize("where", list(itertools.product((CPU, GPU), repeat=2)))
def test_what_a_library_call_is_given_may_lie_on_different_devices(gpu, name, where):
    features = problem(n=36).features
    z, f, y = features.embeddings, features.logits, features.labels
    held_out = tuple(each[:9] for each in (z, f, y))
    if name == "Forgetting":
        expected = select_coreset(name, labels=y, scores=torch.arange(36.0), fraction=0.25)
        found = select_coreset(name, labels=y.to(where[0]), scores=torch.arange(36.0).to(where[1]), fraction=0.25)
    else:
        expected = select_coreset(name, embeddings=z, logits=f, labels=y, validation=held_out, fraction=0.25)
        there = tuple(each.to(where[1]) for each in held_out)
        found = select_coreset(name, embeddings=z.to(where[0]), logits=f, labels=y, validation=there, fraction=0.25)
    assert found.indices.tolist() == expected.indices.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("sizes", "memory_budget"),
    [([60] * 8, 500_000), ([30, 75, 100, 20], 500_000), ([32] * 12, 300_000), ([150], 500_000)],
)
def test_classes_picked_from_together_stay_within_the_memory_budget(gpu, sizes, memory_budget, dtype):
    classes = [problem(n=n, d=16, C=4, seed=n + place).features for place, n in enumerate(sizes)]
    given = [Features(each.embeddings.to(dtype).to(GPU), each.logits.to(GPU), each.labels.to(GPU)) for each in classes]
    before = gpu.memory.allocated
    torch.cuda.reset_peak_memory_stats()
    distances = (CurvatureDistance(each, 0.05, 20) for each in given)
    picks = batched_greedy(distances, [[n // 4] for n in sizes], GPU, memory_budget)
    assert [len(each) for (each,) in picks] == [n // 4 for n in sizes]
    assert memory_budget / 2 < gpu.memory.peak - before <= memory_budget


def test_all_of_features_moves(gpu):
    made = problem(n=12).features
    there = Features(made.embeddings, made.logits, made.labels, torch.full((12,), 0.1)).to(GPU)
    assert {each.device for each in (there.embeddings, there.logits, there.labels, there.shares)} == {GPU}


def test_pretrained_embeddings_are_made_on_the_gpu(gpu, monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    monkeypatch.setattr(pretrained, "_resnet18", lambda: copy.deepcopy(network))
    spec = DataSpec("Made", 3, 8, 2, ("a", "b"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), "none")
    pixels = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = MemoryImages(pixels, torch.arange(5) % 2)
    there, here = (
        pretrained.pretrained_embeddings(
            Batches(images, spec, torch.arange(5), 2, device=device), spec.mean, spec.std, device
        )
        for device in (GPU, CPU)
    )
    assert there.device == GPU
    torch.testing.assert_close(there.cpu(), here)
