"""Networks by name, and how one is added."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from unittest import mock

import pytest

import nets
from utils.errors import UserError

NAMES = {
    *("MLP", "LeNet", "AlexNet", "ConvNet", "InceptionV3", "MobileNetV3Small", "MobileNetV3Large"),
    *("VGG11", "VGG13", "VGG16", "VGG19"),
    *("ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"),
    *("ResNet8", "ResNet20", "ResNet32", "ResNet56"),
    *("WRN282", "WRN168", "WRN2810", "WRN502", "WRN1012"),
}
PACKAGE = Path(nets.__file__).parent

TINY_FILE = '''
from torch import nn

from nets.contract import Network, NetworkSpec, Size, global_pool


def tiny(channels: int, num_classes: int, size: Size) -> Network:
    """A global mean of four maps."""
    features = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), global_pool())
    return Network(features, nn.Linear(4, num_classes))


TinyNet = NetworkSpec("TinyNet", tiny, smallest_image=3)
'''
TINY_LINE = "from nets.tinynet import TinyNet"


def test_table_holds_every_network_under_the_name_of_its_callable() -> None:
    assert set(nets.NETWORKS) == NAMES
    for name, spec in nets.NETWORKS.items():
        assert spec.name == name
        assert getattr(nets, name) is spec


def test_callable_takes_positions_and_keywords() -> None:
    for network in (nets.MLP(1, 10, 8), nets.MLP(channel=1, num_classes=10, im_size=(8, 8))):
        assert network.classifier.out_features == 10
        assert network.features[1].in_features == 64  # type: ignore[index]


def test_names_in_any_case() -> None:
    assert nets.find("resnet18") is nets.ResNet18
    assert nets.build("mlp", 1, 10, 2).embedding_dim == 128
    assert nets.smallest_image("CONVNET") == 8


def test_unknown_name_lists_the_networks() -> None:
    with pytest.raises(UserError, match=r"unknown network 'ResNet19' \(did you mean ResNet1.\?\).*ConvNet"):
        nets.build("ResNet19", 3, 10, 32)


@pytest.mark.parametrize(
    ("names", "side"),
    [
        ("MLP", 1),
        ("ConvNet ResNet8 ResNet56 ResNet18 ResNet152 WRN168 WRN2810 MobileNetV3Small MobileNetV3Large", 8),
        ("LeNet AlexNet VGG11 VGG19 InceptionV3", 28),
        ("WRN502 WRN1012", 224),
    ],
)
def test_smallest_image(names: str, side: int) -> None:
    for name in names.split():
        assert nets.smallest_image(name) == side
        with pytest.raises(UserError, match=f"{name} takes no images smaller than {side}x{side}"):
            nets.build(name, 3, 10, side - 1)


def test_adding_a_network_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE, tmp_path / "nets", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "nets" / "tinynet.py").write_text(TINY_FILE, encoding="utf-8")
    table = tmp_path / "nets" / "__init__.py"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines.insert(lines.index("from nets.vgg import VGG11, VGG13, VGG16, VGG19"), TINY_LINE)
    table.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    with mock.patch.dict(sys.modules):
        for module in [name for name in sys.modules if name.partition(".")[0] == "nets"]:
            del sys.modules[module]
        extended = importlib.import_module("nets")
        assert set(extended.NETWORKS) == NAMES | {"TinyNet"}
        assert extended.smallest_image("TinyNet") == 3
        assert extended.build("tinynet", channels=3, num_classes=5, im_size=3).embedding_dim == 4
    assert "TinyNet" not in importlib.import_module("nets").NETWORKS
