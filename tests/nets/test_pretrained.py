import os
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from nets.pretrained import pretrained_embeddings
from utils.data.batches import Batch
from utils.errors import UserError

CPU = torch.device("cpu")
IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]


class Recorder(nn.Module):
    """Stands for ResNet18: gives the mean of each channel, and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 1000)
        self.seen = []
        self.modes = []

    def forward(self, x):
        self.seen.append(x)
        self.modes.append(self.training)
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def recorder(monkeypatch):
    network = Recorder()
    monkeypatch.setattr(torchvision.models, "resnet18", lambda: network)
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    asked = give(monkeypatch, network.state_dict())
    yield network
    assert asked == [weights.url]


def give(monkeypatch, state):
    """Let every download give these weights; what was asked for."""
    asked = []

    def load(url, **options):
        assert options["weights_only"]
        asked.append(url)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    return asked


def batches(pixels, mean, std, size):
    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    for rows in torch.arange(len(pixels)).split(size):
        yield Batch((pixels[rows] - mean) / std, torch.zeros_like(rows), rows, rows, None)


@pytest.mark.parametrize("side", [32, 300])
def test_images_come_as_the_network_was_trained_on_and_embeddings_without_its_last_layer(recorder, side):
    pixels = torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(0))
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    embeddings = pretrained_embeddings(batches(pixels, mean, std, 2), mean, std, CPU)
    expected = (F.interpolate(pixels, (224, 224), mode="bilinear", antialias=True) - IMAGENET[0]) / IMAGENET[1]
    torch.testing.assert_close(torch.cat(recorder.seen), expected)
    torch.testing.assert_close(embeddings, expected.mean(dim=(2, 3)))
    assert not any(recorder.modes)
    assert not embeddings.requires_grad


def test_one_channel_becomes_three(recorder):
    pixels = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    pretrained_embeddings(batches(pixels, (0.4,), (0.2,), 2), (0.4,), (0.2,), CPU)
    (seen,) = recorder.seen
    channels = seen * IMAGENET[1] + IMAGENET[0]
    assert seen.shape == (2, 3, 224, 224)
    torch.testing.assert_close(channels[:, 0], channels[:, 2])


def test_the_real_network_gives_512_numbers_an_image(monkeypatch):
    give(monkeypatch, torchvision.models.resnet18().state_dict())
    embeddings = pretrained_embeddings(
        batches(torch.rand(1, 3, 8, 8), (0.5,) * 3, (0.5,) * 3, 1), [0.5] * 3, [0.5] * 3, CPU
    )
    assert embeddings.shape == (1, 512)


@pytest.mark.parametrize(
    "failure", [URLError("no route to host"), PermissionError("read-only"), RuntimeError("invalid hash value")]
)
def test_weights_that_cannot_be_had_are_one_clear_line(monkeypatch, failure):
    def fail(url, **options):
        raise failure

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        UserError, match=r"ImageNet weights cannot be had.*resnet18.*checkpoints.*leave --pretrained out"
    ) as caught:
        pretrained_embeddings([], (0.5,), (0.5,), CPU)
    assert "\n" not in str(caught.value)


def test_a_hostile_file_in_the_cache_runs_no_code(monkeypatch, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sentinel"),)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save({"fc.weight": Evil()}, tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2])
    with pytest.raises(UserError, match="cannot be had"):
        pretrained_embeddings([], (0.5,), (0.5,), CPU)
    assert not (tmp_path / "sentinel").exists()
