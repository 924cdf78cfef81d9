"""Losses, accuracies and features in evaluation mode, against one image at a time."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tiny_data import make_data

import nets
from utils.data.batches import Batches
from utils.data.images import MemoryImages
from utils.training import evaluation
from utils.training.evaluation import embed_and_classify, evaluate

DATA = make_data(test=37)


def batches(size: int) -> Batches:
    return Batches(DATA.test, DATA.spec, torch.arange(37), size, device="cpu")


@pytest.fixture(scope="module")
def network() -> nets.Network:
    """ResNet18, whose batch normalisation tells training from evaluation mode."""
    torch.manual_seed(0)
    network = nets.build("ResNet18", 1, 3, 8)
    with torch.no_grad():
        for batch in batches(37):
            network(batch.x)  # moves the running statistics
    return network


def one_by_one(network: nets.Network) -> torch.Tensor:
    """Logits [37, 3]."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(batch.x) for batch in batches(1)])


@pytest.mark.parametrize("size", [1, 10, 37, 100])
def test_loss_and_accuracy_are_means_over_images_whatever_the_batches(network, size):
    logits, labels = one_by_one(network), DATA.test.labels
    found = evaluate(network.train(), batches(size))
    assert found.loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert found.accuracy == pytest.approx(100 * float((logits.argmax(1) == labels).float().mean()))


def counted_one_by_one(logits: torch.Tensor, labels: torch.Tensor) -> tuple[list[float | None], float]:
    """Accuracy of each class, and top-5 accuracy, in percent, from logits [n, C], image by image."""
    right, top = [[] for _ in range(logits.shape[1])], []
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        likeliest = sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))
        right[label].append(likeliest[0] == label)
        top.append(label in likeliest[:5])
    return [100 * sum(each) / len(each) if each else None for each in right], 100 * sum(top) / len(top)


@pytest.mark.parametrize("size", [1, 7, 37])
@pytest.mark.parametrize("classes", [3, 5, 6, 9])
def test_accuracies_by_class_and_of_the_top_five_are_those_counted_one_by_one(classes, size):
    """Logits are whole numbers of few values, so that many are tied; the last class has no image."""
    random = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes - 1, (37,), generator=random)
    logits = torch.randint(-2, 3, (37, classes), generator=random).float()
    images = MemoryImages(torch.arange(37, dtype=torch.uint8).view(37, 1, 1, 1), labels)
    spec = dataclasses.replace(DATA.spec, im_size=1, num_classes=classes, mean=(0.0,), std=(1 / 255,))

    class Known(torch.nn.Module):
        """Gives the image whose only pixel is i the i-th logits."""

        unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return logits[x.flatten().round().long()]

    found = evaluate(Known(), Batches(images, spec, torch.arange(37), size, device="cpu"))
    by_class, top = counted_one_by_one(logits, labels)
    assert found.by_class == tuple(by_class)
    assert found.by_class[-1] is None
    assert found.top5 == (pytest.approx(top) if classes > 5 else None)


def test_evaluation_changes_nothing(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    evaluate(network.train(), batches(10))
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_bfloat16_is_close(network):
    exact, rounded = evaluate(network, batches(10)), evaluate(network, batches(10), amp=True)
    assert rounded.loss != exact.loss
    assert rounded.loss == pytest.approx(exact.loss, rel=0.05)


@pytest.mark.parametrize("size", [1, 10, 37])
def test_features_come_in_order_whatever_the_batches(network, size):
    network.eval()
    embeddings, logits, labels = embed_and_classify(network.embed, network.classifier, batches(size))
    torch.testing.assert_close(logits, one_by_one(network), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, network.classifier(embeddings).detach())
    assert torch.equal(labels, DATA.test.labels)
    assert embeddings.shape == (37, network.embedding_dim)
    assert not embeddings.requires_grad


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 200), (0.5, 100), (0.123, 25), (1e-9, 1)])
def test_the_tested_part_is_the_same_at_every_test(fraction, count):
    indices = evaluation.test_indices(200, fraction, seed=3)
    assert len(indices) == count
    assert indices.unique().tolist() == indices.tolist()
    assert torch.equal(indices, evaluation.test_indices(200, fraction, seed=3))
    assert fraction == 1 or not torch.equal(indices, evaluation.test_indices(200, fraction, seed=4))
