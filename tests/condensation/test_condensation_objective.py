"""Gradient and distribution matching against loops that are obvious; all classes at once against one at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from condensing import config, images, real_images, smooth_network
from torch import Tensor

import nets
from condensation import class_pairs as pairing
from condensation.class_gradients import (
    ClassGradients,
    real_class_gradients,
    synthetic_class_gradients,
    weighted_layers,
)
from condensation.curvature import CURVATURES
from condensation.distribution_matching import DistributionMatching
from condensation.gradient_matching import GradientMatching
from condensation.inner_networks import fresh_network
from condensation.objective import DISTANCES, Objective
from condensation.random_streams import RandomStreams
from nets import Network

CLASSES = range(3)
STREAMS = RandomStreams(0, 4, 1)


def gradients_by_class(network: Network, batches: list[Tensor]) -> list[list[Tensor]]:
    """For each class the gradient of every weight as autograd has it, [out, …], differentiable to the pixels."""
    weights = [layer.weight for layer in weighted_layers(network)]
    return [
        list(torch.autograd.grad(F.cross_entropy(network(x), torch.full((len(x),), label)), weights, create_graph=True))
        for label, x in enumerate(batches)
    ]


def distance_by_loop(name: str, real: list[Tensor], synthetic: list[Tensor]) -> Tensor:
    """Output by output."""
    if name == "squared":
        return sum(((a - b) ** 2).sum() for a, b in zip(real, synthetic, strict=True))
    if name == "cosine":
        real, synthetic = ([torch.cat([layer.reshape(1, -1) for layer in each], 1)] for each in (real, synthetic))
    total = torch.zeros((), dtype=torch.float64)
    for a, b in zip(real, synthetic, strict=True):
        for row_a, row_b in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True):
            total = total + 1 - (row_a * row_b).sum() / (row_a.norm() * row_b.norm() + 1e-6)
    return total


@pytest.mark.parametrize("name", DISTANCES)
def test_pixels_feel_the_distance_that_a_loop_measures(name):
    network = smooth_network()
    real, pixels = [images(5, seed) for seed in CLASSES], images(6, 9).requires_grad_()
    target = real_class_gradients(network, real, CLASSES, None)
    ours = synthetic_class_gradients(network, pixels, CLASSES, None)
    loss = Objective(DISTANCES[name])(target, ours)[0]

    slow_real = [[each.detach() for each in of_class] for of_class in gradients_by_class(network, real)]
    slow_ours = gradients_by_class(network, list(pixels.split(2)))
    slow = torch.stack([distance_by_loop(name, a, b) for a, b in zip(slow_real, slow_ours, strict=True)])
    torch.testing.assert_close(loss, slow, rtol=1e-9, atol=1e-12)
    fast_pixels, slow_pixels = (torch.autograd.grad(each.sum(), pixels)[0] for each in (loss, slow))
    assert slow_pixels.abs().max() > 1e-6
    torch.testing.assert_close(fast_pixels, slow_pixels, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("model", ["ConvNet", "MLP", "LeNet"])
def test_gradients_of_all_classes_from_one_pass(model):
    torch.manual_seed(0)
    size = 28 if model == "LeNet" else 8
    network = nets.build(model, 1, 3, size).double().eval()
    x = torch.randn(6, 1, size, size, dtype=torch.float64)
    together = synthetic_class_gradients(network, x, CLASSES, None).gradients
    for label, alone in enumerate(gradients_by_class(network, list(x.split(2)))):
        for all_classes, own in zip(together, alone, strict=True):
            torch.testing.assert_close(all_classes[label], own.flatten(1), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", CURVATURES)
def test_the_terms_by_finite_differences(name):
    network, curvature = smooth_network(), CURVATURES[name]
    target = real_class_gradients(network, [images(5, seed) for seed in CLASSES], CLASSES, curvature)

    def terms(pixels: Tensor) -> tuple[Tensor, Tensor]:
        ours = synthetic_class_gradients(network, pixels, CLASSES, curvature)
        return Objective(DISTANCES["layerwise"], rho=3.0)(target, ours)

    assert torch.autograd.gradcheck(terms, images(6, 9).requires_grad_())


def test_the_gap_is_the_distance_of_the_curvatures():
    network, curvature = smooth_network(), CURVATURES["diagonal"]
    target = real_class_gradients(network, [images(5, seed) for seed in CLASSES], CLASSES, curvature)
    ours = synthetic_class_gradients(network, images(6, 9), CLASSES, curvature)
    gap = Objective(DISTANCES["layerwise"], rho=3.0)(target, ours)[1]
    assert target.curvature is not None
    assert ours.curvature is not None
    by_class = [(a - b).square().sum().sqrt() for a, b in zip(target.curvature, ours.curvature, strict=True)]
    torch.testing.assert_close(gap, torch.stack(by_class))


def test_the_real_side_is_detached():
    network, x = smooth_network(), images(4)
    measured = real_class_gradients(network, [x], [1], CURVATURES["variance"])
    assert not any(layer.requires_grad for layer in measured.gradients)
    assert measured.curvature is not None
    assert not measured.curvature.requires_grad


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_and_vanishing_gradients(name):
    layer = torch.randn(2, 3, 4, dtype=torch.float64)
    nothing = torch.zeros_like(layer).requires_grad_()
    rows = {"layerwise": 3.0, "cosine": 1.0}
    torch.testing.assert_close(DISTANCES[name]([layer], [layer]), torch.zeros(2).double(), atol=1e-5, rtol=0)
    distance = DISTANCES[name]([layer], [nothing])
    expected = [rows[name]] * 2 if name in rows else layer.square().sum(dim=(1, 2)).tolist()
    assert distance.tolist() == pytest.approx(expected)
    assert torch.autograd.grad(distance.sum(), nothing)[0].isfinite().all()


def test_distribution_matching_by_a_loop(tiny_data, monkeypatch):
    settings, real = config("DM"), real_images(tiny_data)
    network = fresh_network("ConvNet", tiny_data.spec, STREAMS, torch.device("cpu"))
    pixels = torch.randn(6, 1, 8, 8)
    gradient, terms = DistributionMatching(settings, real).step(network, pixels, STREAMS)
    monkeypatch.setattr(pairing, "_IMAGES_AT_ONCE", 2)
    total, slow = 0.0, []
    for pair in pairing.pairs(settings, real, pixels, STREAMS):
        mean = torch.zeros(network.embedding_dim)
        for image in pair.synthetic:
            mean = mean + network.embed(image[None])[0] / len(pair.synthetic)
        target = sum(network.embed(image[None])[0] for image in pair.real[0]) / len(pair.real[0])
        loss = ((target - mean) ** 2).sum()
        total += float(loss.detach())
        slow.append(torch.autograd.grad(loss, pair.pixels)[0])
    assert float(terms.matching) == pytest.approx(total, rel=1e-4)
    torch.testing.assert_close(gradient, torch.cat(slow), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["DC", "DSA", "DM", "LCMat"])
def test_groups_of_classes_change_nothing(method, tiny_data, monkeypatch):
    settings, real, pixels = config(method), real_images(tiny_data), torch.randn(6, 1, 8, 8)
    kind = DistributionMatching if method == "DM" else GradientMatching
    steps = []
    for at_once in (256, 4, 1):
        monkeypatch.setattr(pairing, "_IMAGES_AT_ONCE", at_once)
        network = fresh_network("ConvNet", tiny_data.spec, STREAMS, torch.device("cpu"))
        steps.append(kind(settings, real).step(network, pixels, STREAMS))
    for gradient, terms in steps[1:]:
        torch.testing.assert_close(gradient, steps[0][0], rtol=1e-3, atol=1e-5)
        assert float(terms.matching) == pytest.approx(float(steps[0][1].matching), rel=1e-4)
        assert float(terms.curvature) == pytest.approx(float(steps[0][1].curvature), rel=1e-4)


def test_classes_go_together_as_far_as_that_is_faster():
    def together(ipc: int, side: int, device: str = "cpu") -> list[int]:
        pixels = torch.empty(10 * ipc, 3, side, side, device=device)
        return [len(group) for group in pairing.class_groups(10, pixels)]

    assert together(10, 8) == [10]
    assert together(1, 32) == [10]
    assert together(10, 32) == [1] * 10
    assert together(1000, 8) == [1] * 10
    assert together(60, 8) == [4, 4, 2]
    assert together(10, 32, "meta") == [10]


def test_both_sides_are_changed_by_the_same_draw(tiny_data):
    pixels = torch.randn(6, 1, 8, 8)
    seen = list(pairing.pairs(config("DSA", strategy="flip", real_batch=20), real_images(tiny_data), pixels, STREAMS))
    plain = list(pairing.pairs(config("DC", real_batch=20), real_images(tiny_data), pixels, STREAMS))
    flips = []
    for pair, untouched in zip(seen, plain, strict=True):
        for label in pair.classes:
            ours, theirs = pair.synthetic[2 * label : 2 * label + 2], untouched.synthetic[2 * label : 2 * label + 2]
            flipped = bool(torch.equal(ours, theirs.flip(3)))
            assert flipped or torch.equal(ours, theirs)
            real = untouched.real[label]
            assert torch.equal(pair.real[label], real.flip(3) if flipped else real)
            flips.append(flipped)
    assert len(flips) == 3


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("scale", [None, "target", "matching"])
def test_the_curvature_terms_share_of_the_pixels_gradient_is_measured_and_set(scale, curvature, tiny_data):
    """Class by class, from two backward passes that know nothing of each other."""
    settings, real, pixels = (
        config("LCMat", curvature=curvature, curvature_scale=scale, rho=3.0),
        real_images(tiny_data),
        torch.randn(6, 1, 8, 8),
    )
    network = fresh_network("MLP", tiny_data.spec, STREAMS, torch.device("cpu"))
    gradient, terms = GradientMatching(settings, real).step(network, pixels, STREAMS)
    [pair] = pairing.pairs(settings, real, pixels, STREAMS)
    target = real_class_gradients(network, pair.real, CLASSES, CURVATURES[curvature])
    slow, shares, gaps = [], [], []
    for c in CLASSES:
        ours = synthetic_class_gradients(network, pair.synthetic, CLASSES, CURVATURES[curvature])
        distance = distance_by_loop("layerwise", [g[c] for g in target.gradients], [g[c] for g in ours.gradients])
        gap = (target.curvature[c] - ours.curvature[c]).norm() / (target.curvature[c].norm() if scale else 1)
        m, a = (
            torch.autograd.grad(each, pair.pixels, retain_graph=True)[0][2 * c : 2 * c + 2] for each in (distance, gap)
        )
        a = a * (m.norm() / a.norm() if scale == "matching" else 1) * 1.5
        slow.append(m + a)
        shares.append(float(a.norm() / (a.norm() + m.norm())))
        gaps.append(float(gap.detach()))
    torch.testing.assert_close(gradient, torch.cat(slow), rtol=1e-3, atol=1e-4)
    assert float(terms.share) == pytest.approx(sum(shares), rel=1e-3)
    assert float(terms.curvature) == pytest.approx(sum(gaps), rel=1e-3)
    assert scale != "matching" or shares == pytest.approx([0.6] * 3, rel=1e-4)
    assert scale is not None or max(shares) < 0.05  # so little that it acts on nothing


def test_one_image_with_variance_is_gradient_matching_alone(tiny_data):
    real, pixels = real_images(tiny_data), torch.randn(3, 1, 8, 8)
    network = fresh_network("MLP", tiny_data.spec, STREAMS, torch.device("cpu"))
    of = {
        name: GradientMatching(settings, real).step(network, pixels, STREAMS)
        for name, settings in {
            "DSA": config("DSA", 1),
            "variance": config("LCMat", 1),
            "diagonal": config("LCMat", 1, curvature="diagonal"),
        }.items()
    }
    assert torch.equal(of["DSA"][0], of["variance"][0])
    assert float(of["variance"][1].curvature) == float(of["variance"][1].share) == 0
    assert not torch.allclose(of["DSA"][0], of["diagonal"][0])
    assert float(of["diagonal"][1].curvature) > 0


def test_measured_distance_of_certain_networks_is_finite():
    network = smooth_network()
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([1e4, 0, 0]))
    pixels = images(2).requires_grad_()
    target: ClassGradients = real_class_gradients(network, [images(5)], [0], CURVATURES["diagonal"])
    ours = synthetic_class_gradients(network, pixels, [0], CURVATURES["diagonal"])
    total = torch.cat(Objective(DISTANCES["layerwise"], 1.0)(target, ours)).sum()
    assert math.isfinite(total.item())
    assert torch.autograd.grad(total, pixels)[0].isfinite().all()
