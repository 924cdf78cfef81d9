import numpy as np
import pytest
import torch
from method_problems import on_cpu
from torch import nn

from methods import select_coreset
from methods.base import SelectionInputs
from methods.deepfool import DeepFool, perturbations
from utils.data.batches import Batch
from utils.errors import UserError


def batches(images, size=None):
    for rows in torch.arange(len(images)).split(size or len(images)):
        yield Batch(images[rows], torch.zeros_like(rows), rows, rows, None)


def images_of(n, side=2, seed=0):
    return torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth_network(classes=3, side=2, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Flatten(), nn.Linear(side * side, 8), nn.Tanh(), nn.Linear(8, classes)]
    return nn.Sequential(*layers).double()


def literal(network, image, steps=50):
    """Algorithm 2 for one image [1, c, h, w], a full Jacobian at every step."""
    original = int(network(image).argmax())
    total = torch.zeros_like(image)
    for _ in range(steps):
        x = image + 1.02 * total
        logits = network(x)[0].detach()
        if int(logits.argmax()) != original:
            break
        jacobian = torch.autograd.functional.jacobian(lambda pixels: network(pixels)[0], x).flatten(1)  # [C, D]
        likeliest = logits.argsort(descending=True)[:10].tolist()
        others = [k for k in likeliest if k != original]
        f = [float(logits[k] - logits[original]) for k in others]
        w = [jacobian[k] - jacobian[original] for k in others]
        ratio = [abs(a) / float(b.norm()) for a, b in zip(f, w, strict=True)]
        nearest = int(np.argmin(ratio))
        total = total + (abs(f[nearest]) / w[nearest].square().sum() * w[nearest]).view_as(total)
    return float(total.square().sum())


def test_of_an_affine_network_it_is_the_squared_distance_to_the_nearest_boundary():
    torch.manual_seed(1)
    layer = nn.Linear(4, 3).double()
    images = images_of(10)
    weight, logits = layer.weight.detach(), layer(images.flatten(1)).detach()
    expected = []
    for row in logits:
        own = int(row.argmax())
        rest = [k for k in range(3) if k != own]
        expected.append(min(float((row[k] - row[own]) / (weight[k] - weight[own]).norm()) ** 2 for k in rest))
    scores = perturbations(nn.Sequential(nn.Flatten(), layer), batches(images))
    np.testing.assert_allclose(scores.numpy(), expected)
    assert scores.dtype == torch.float64


@pytest.mark.parametrize("classes", [3, 14])
@pytest.mark.parametrize("seed", range(3))
def test_against_the_algorithm_image_by_image(seed, classes):
    network, images = smooth_network(classes, seed=seed), images_of(8, seed=seed)
    expected = [literal(network, image[None]) for image in images]
    np.testing.assert_allclose(perturbations(network, batches(images)).numpy(), expected, rtol=1e-9)


def test_each_image_stops_on_its_own_whatever_its_batch():
    network, images = smooth_network(), images_of(9)
    together = perturbations(network, batches(images))
    for size in (1, 4):
        torch.testing.assert_close(perturbations(network, batches(images, size)), together)


class Receding(nn.Module):
    """f = (0, −exp(−x)): the boundary that a tangent promises is always one further. Counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        x = x.flatten(1)
        return torch.cat([0 * x, -(-x).exp()], dim=1)


def test_an_image_that_never_crosses_is_left_after_fifty_steps():
    network = Receding()
    image = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64)
    assert float(perturbations(network, batches(image))[0]) == pytest.approx(50.0**2)
    assert network.calls == 1 + 2 * 50  # the prediction, then a step and a look at where it led


class Deaf(nn.Module):
    """f = (max(0, x), 1): where x < 0 the logits do not depend on the pixel."""

    def forward(self, x):
        x = x.flatten(1).clamp(min=0)
        return torch.cat([x, torch.ones_like(x)], dim=1)


def test_an_image_without_a_boundary_in_sight_is_the_farthest():
    images = torch.tensor([-1.0, 3.0], dtype=torch.float64).view(2, 1, 1, 1)
    assert perturbations(Deaf(), batches(images)).tolist() == [torch.inf, pytest.approx(4.0)]


def test_the_network_is_used_in_evaluation_mode_and_left_as_it_was():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).double()
    network(images_of(16, seed=3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = images_of(6)
    kept = images.clone()
    together, alone = perturbations(network, batches(images)), perturbations(network, batches(images, 1))
    torch.testing.assert_close(together, alone)
    assert network.training
    assert torch.equal(images, kept)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_no_images_have_no_scores():
    assert perturbations(smooth_network(), []).tolist() == []


def test_fault_the_nearest_to_a_boundary_come_first():
    scores = torch.tensor([3.0, 0.5, torch.inf, 0.5, 1.0])
    picks = DeepFool().pick(SelectionInputs(torch.zeros(5).long(), scores=scores), 5, on_cpu())
    assert picks.indices.tolist() == [1, 3, 4, 0, 2]


def test_a_call_without_scores_says_what_is_missing():
    with pytest.raises(UserError, match="DeepFool needs pixels and a network"):
        select_coreset("DeepFool", labels=np.zeros(3, dtype=int), fraction=1.0)
