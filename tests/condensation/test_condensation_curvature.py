"""The last layer's curvature in closed form, against what torch.func makes of single samples."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from condensing import images, smooth_network
from torch import Tensor

from condensation.curvature import CURVATURES, gradient_variance, hessian_diagonal

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")  # which torch.func.hessian calls
LABELS = torch.tensor([0, 2, 1, 1, 0])


def curvature_of(name: str, pixels: Tensor, labels: Tensor = LABELS) -> Tensor:
    network = smooth_network()
    z = network.embed(pixels)
    return CURVATURES[name](z, network.classifier(z), labels)


def loss_at_last_layer(parameters: Tensor, z: Tensor, label: Tensor) -> Tensor:
    """Of one sample; parameters [C, d + 1], biases first."""
    return F.cross_entropy(parameters[:, 1:] @ z + parameters[:, 0], label)


def by_samples(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample's gradient [n, C, d + 1] and Hessian diagonal [n, C, d + 1]."""
    network = smooth_network()
    z = network.embed(pixels).detach()
    layer = network.classifier
    parameters = torch.cat((layer.bias[:, None], layer.weight), dim=1).detach()  # [C, d + 1]
    gradients = torch.func.vmap(torch.func.grad(loss_at_last_layer), (None, 0, 0))(parameters, z, LABELS)
    hessians = torch.func.vmap(torch.func.hessian(loss_at_last_layer), (None, 0, 0))(parameters, z, LABELS)
    flat = hessians.flatten(3).flatten(1, 2)  # [n, C (d + 1), C (d + 1)]
    return gradients, flat.diagonal(dim1=1, dim2=2).unflatten(1, parameters.shape)


def test_variance_is_that_of_single_gradients():
    gradients, _ = by_samples(images(5))
    expected = gradients.var(dim=0, unbiased=False)
    assert expected.max() > 1e-3
    torch.testing.assert_close(curvature_of("variance", images(5)), expected, rtol=1e-10, atol=1e-12)


def test_diagonal_is_that_of_the_mean_loss():
    _, diagonals = by_samples(images(5))
    torch.testing.assert_close(curvature_of("diagonal", images(5)), diagonals.mean(dim=0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CURVATURES)
def test_both_are_differentiable_to_the_pixels(name):
    pixels = images(3)[:, :, :6, :6].requires_grad_()

    def through_the_network(x: Tensor) -> Tensor:
        return curvature_of(name, x, LABELS[:3])[:, :2]

    assert torch.autograd.gradcheck(through_the_network, pixels)


@pytest.mark.parametrize("name", CURVATURES)
def test_both_can_be_differentiated_twice(name):
    z = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    labels = LABELS[:3].clamp(max=1)
    assert torch.autograd.gradgradcheck(lambda *both: CURVATURES[name](*both, labels), (z, logits))


@pytest.mark.parametrize("name", CURVATURES)
def test_classes_side_by_side(name):
    z, logits = torch.randn(4, 5, 6, dtype=torch.float64), torch.randn(4, 5, 3, dtype=torch.float64)
    labels = torch.randint(3, (4, 5))
    together = CURVATURES[name](z, logits, labels)
    for one, *inputs in zip(together, z, logits, labels, strict=True):
        torch.testing.assert_close(one, CURVATURES[name](*inputs))


def test_the_variance_of_one_image_is_zero_and_moves_no_pixel():
    pixels = images(1).requires_grad_()
    variance = curvature_of("variance", pixels, LABELS[:1])
    assert torch.equal(variance, torch.zeros_like(variance))
    gap = (variance - torch.rand_like(variance)).norm()
    assert not torch.autograd.grad(gap, pixels)[0].any()
    diagonal = curvature_of("diagonal", pixels, LABELS[:1])
    assert torch.autograd.grad(diagonal.norm(), pixels)[0].abs().max() > 1e-6


def test_certain_predictions_have_no_curvature():
    z, logits, labels = torch.randn(2, 3), torch.tensor([[500.0, 0, 0]] * 2), torch.zeros(2, dtype=torch.long)
    assert not gradient_variance(z, logits, labels).any()
    assert not hessian_diagonal(z, logits, labels).any()
