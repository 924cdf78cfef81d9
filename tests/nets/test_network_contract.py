"""What networks are built from: batch normalisation of one value, padding, sizes, torchvision's forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nets
from nets.contract import BatchNorm2d, Network, NetworkSpec, stem_padding, torchvision_form
from utils.errors import UserError


def test_batch_norm_equals_torchs() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64) * 3 + 1
    ours, theirs = BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        assert torch.equal(ours(x), theirs(x))
        assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_batch_norm_of_one_value_uses_running_statistics() -> None:
    norm = BatchNorm2d(3).double()
    norm(torch.randn(4, 3, 2, 2, dtype=torch.float64))
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    x = torch.randn(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    mean, variance = (before[name].reshape(1, 3, 1, 1) for name in ("running_mean", "running_var"))
    torch.testing.assert_close(y, (x - mean) / (variance + norm.eps).sqrt())
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())
    y.sum().backward()
    assert norm.weight.grad is not None
    assert x.grad is not None and x.grad.count_nonzero() == 3


@pytest.mark.parametrize(
    ("size", "expected"),
    [((28, 28), (3, 3)), ((32, 32), (1, 1)), ((8, 8), (1, 1)), ((64, 28), (1, 3)), ((31, 27), (3, 1))],
)
def test_stem_pads_28_to_32(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert stem_padding(size, 1) == expected


def test_padding_28_equals_a_frame_of_zeros() -> None:
    padded = nets.build("VGG11", 1, 10, 28).eval()
    natural = nets.build("VGG11", 1, 10, 32).eval()
    natural.load_state_dict(padded.state_dict())
    x = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(padded(x), natural(nn.functional.pad(x, (2, 2, 2, 2))))


def spec_with_both_forms() -> NetworkSpec:
    def form(embedding_dim: int, channels: int, num_classes: int, size: tuple[int, int]) -> Network:
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, embedding_dim))
        return Network(pooled, nn.Linear(embedding_dim, num_classes))

    return NetworkSpec("Pooled", lambda *args: form(3, *args), smallest_image=4, large=lambda *args: form(5, *args))


@pytest.mark.parametrize(("im_size", "embedding_dim"), [(4, 3), (223, 3), (224, 5), ((224, 300), 5), ([224, 100], 3)])
def test_form_follows_the_shorter_side(im_size: int | tuple[int, int], embedding_dim: int) -> None:
    assert spec_with_both_forms()(1, 2, im_size).embedding_dim == embedding_dim


@pytest.mark.parametrize("im_size", [3, 0, (100, 3), (3, 100)])
def test_too_small_an_image_is_refused(im_size: int | tuple[int, int]) -> None:
    with pytest.raises(UserError, match="Pooled takes no images smaller than 4x4, and these are"):
        spec_with_both_forms()(1, 2, im_size)


def test_torchvision_form_computes_what_torchvision_does() -> None:
    from torchvision.models import mobilenet_v3_small

    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = torchvision_form("mobilenet_v3_small")(3, 7, (224, 224)).eval()
        torch.manual_seed(0)
        theirs = mobilenet_v3_small(weights=None, num_classes=7).eval()
        x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
