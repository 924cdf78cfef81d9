"""Every network keeps the contract: counts, shapes, gradients, embedding, small batches, layouts, bf16."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nets
from nets.resnet_cifar import PaddedShortcut

# FACTS: embedding at 3×32×32, parameters at 3×32×32 and at 1×28×28, 10 classes.
SMALL_FORMS = {
    "MLP": (128, 411_146, 118_282),
    "LeNet": (84, 62_006, 61_706),
    "AlexNet": (3072, 1_872_202, 1_865_802),
    "VGG11": (512, 9_231_114, 9_229_962),
    "VGG13": (512, 9_416_010, 9_414_858),
    "VGG16": (512, 14_728_266, 14_727_114),
    "VGG19": (512, 20_040_522, 20_039_370),
    "ResNet18": (512, 11_173_962, 11_172_810),
    "ResNet34": (512, 21_282_122, 21_280_970),
    "ResNet50": (2048, 23_520_842, 23_519_690),
    "ResNet101": (2048, 42_512_970, 42_511_818),
    "ResNet152": (2048, 58_156_618, 58_155_466),
    "ResNet8": (64, 75_290, 75_002),
    "ResNet20": (64, 269_722, 269_434),
    "ResNet32": (64, 464_154, 463_866),
    "ResNet56": (64, 853_018, 852_730),
    "WRN282": (128, 1_467_610, 1_467_322),
    "WRN168": (512, 10_961_370, 10_961_082),
    "WRN2810": (640, 36_479_194, 36_478_906),
    "MobileNetV3Small": (1024, 1_528_106, 1_527_818),
    "MobileNetV3Large": (1280, 4_214_842, 4_214_554),
    "InceptionV3": (2048, 22_133_738, 22_133_162),
    "ConvNet": (2048, 320_010, 317_706),
}
# Embedding and parameters at 3×224×224, 10 classes: the published 1000-class counts less 990 (d + 1).
LARGE_FORMS = {
    "AlexNet": (4096, 61_100_840 - 990 * 4097),
    "VGG11": (4096, 132_868_840 - 990 * 4097),
    "VGG13": (4096, 133_053_736 - 990 * 4097),
    "VGG16": (4096, 134_309_962),
    "VGG19": (4096, 143_678_248 - 990 * 4097),
    "ResNet18": (512, 11_181_642),
    "ResNet34": (512, 21_797_672 - 990 * 513),
    "ResNet50": (2048, 23_528_522),
    "ResNet101": (2048, 44_549_160 - 990 * 2049),
    "ResNet152": (2048, 60_192_808 - 990 * 2049),
    "WRN502": (2048, 68_883_240 - 990 * 2049),
    "WRN1012": (2048, 126_886_696 - 990 * 2049),
    "MobileNetV3Small": (1024, 2_542_856 - 990 * 1025),
    "MobileNetV3Large": (1280, 5_483_032 - 990 * 1281),
    "InceptionV3": (2048, 23_834_568 - 990 * 2049),
}
ONE_OF_EACH_FAMILY = [
    "MLP",
    "LeNet",
    "AlexNet",
    "VGG11",
    "ResNet18",
    "ResNet8",
    "WRN282",
    "MobileNetV3Small",
    "InceptionV3",
    "ConvNet",
]
# What runs for real: every small form at its smallest image (but MLP), and one large form.
PROBLEMS = [(name, max(8, nets.smallest_image(name))) for name in SMALL_FORMS] + [("MobileNetV3Small", 224)]


def parameters(network: nets.Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(name: str, channels: int, num_classes: int, im_size: int | tuple[int, int]) -> nets.Network:
    """Shapes without numbers."""
    with torch.device("meta"):
        return nets.build(name, channels, num_classes, im_size)


def assert_steps_on_meta(name: str, channels: int, size: tuple[int, int]) -> None:
    """Logits of the right shape, and a gradient to every parameter."""
    network = on_meta(name, channels, 10, size)
    logits = network(torch.empty(2, channels, *size, device="meta"))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", SMALL_FORMS)
def test_counts_of_small_forms(name: str) -> None:
    embedding, colour, grey = SMALL_FORMS[name]
    for channels, side, count in ((3, 32, colour), (1, 28, grey)):
        network = on_meta(name, channels, 10, side)
        assert parameters(network) == count
        assert network.embedding_dim == embedding


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_counts_of_cifar_resnets_are_the_papers(depth: int, millions: float) -> None:
    assert round(parameters(on_meta(f"ResNet{depth}", 3, 10, 32)) / 1e6, 2) == millions


def test_shortcut_of_a_cifar_resnet_is_the_image_halved_and_padded_with_zeros() -> None:
    x = torch.randn(2, 16, 7, 5)
    padded = PaddedShortcut(16, 32, 2)(x)
    assert torch.equal(padded[:, :16], x[:, :, ::2, ::2])
    assert padded.shape == (2, 32, 4, 3) and not padded[:, 16:].any()
    assert not list(PaddedShortcut(16, 32, 2).parameters())


@pytest.mark.parametrize("name", LARGE_FORMS)
def test_counts_at_224(name: str) -> None:
    embedding, count = LARGE_FORMS[name]
    network = on_meta(name, 3, 10, 224)
    assert parameters(network) == count
    assert network.embedding_dim == embedding


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ResNet18", 11_220_132),
        ("VGG16", 14_774_436),
        ("InceptionV3", 22_318_148),
        ("WRN168", 11_007_540),
        ("ConvNet", 504_420),
    ],
)
def test_counts_with_100_classes(name: str, count: int) -> None:
    assert parameters(on_meta(name, 3, 100, 32)) == count


def test_convnet_at_64() -> None:
    network = on_meta("ConvNet", 3, 200, 64)
    assert parameters(network) == 1_938_120
    assert network.embedding_dim == 8192


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (32, 64)), (1, (224, 224))])
def test_step_at_other_sizes(name: str, channels: int, size: tuple[int, int]) -> None:
    assert_steps_on_meta(name, channels, size)


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "WRN502", "MobileNetV3Large"])
def test_step_at_224(name: str) -> None:
    assert_steps_on_meta(name, 3, (224, 224))


@pytest.mark.parametrize("name", ["LeNet", "AlexNet", "VGG11", "ConvNet"])
def test_every_size_from_the_smallest(name: str) -> None:
    for side in range(nets.smallest_image(name), 37):
        assert_steps_on_meta(name, 1, (side, side))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module", params=PROBLEMS, ids=lambda problem: f"{problem[0]}-{problem[1]}")
def problem(request: pytest.FixtureRequest) -> tuple[nets.Network, Tensor]:
    """A network in its initial state and two images that it takes."""
    name, side = request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nets.build(name, 3, 10, side), torch.randn(2, 3, side, side)


def test_training_step_reaches_every_parameter(problem: tuple[nets.Network, Tensor]) -> None:
    network, x = problem
    network.train().zero_grad()
    F.cross_entropy(network(x), torch.tensor([0, 1])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not name.endswith("bias"):  # a bias that is normalised away has no gradient
            assert parameter.grad.count_nonzero() > 0, name


def test_classifier_of_embedding_is_forward(problem: tuple[nets.Network, Tensor]) -> None:
    network, x = problem
    network.eval()
    with torch.no_grad():
        z = network.embed(x)
        assert z.shape == (2, network.embedding_dim)
        torch.testing.assert_close(F.linear(z, network.classifier.weight, network.classifier.bias), network(x))


def test_last_batch_of_one_in_training(problem: tuple[nets.Network, Tensor]) -> None:
    network, x = problem
    network.train().zero_grad()
    F.cross_entropy(network(x[:1]), torch.tensor([3])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(buffer.isfinite().all() for buffer in network.buffers())


def test_channels_last_changes_nothing(problem: tuple[nets.Network, Tensor]) -> None:
    network, x = problem
    network.eval()
    with torch.no_grad():
        expected = network(x)
        network.to(memory_format=torch.channels_last)
        actual = network(x.to(memory_format=torch.channels_last))
        network.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_bf16_autocast_is_finite(problem: tuple[nets.Network, Tensor]) -> None:
    network, x = problem
    network.train().zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(x[:1])
        loss = F.cross_entropy(logits, torch.tensor([1]))
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
    if parameters(network) < 5_000_000:  # bf16 gradients of the larger take a CPU seconds each
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_trains_in_one_graph() -> None:
    network = nets.build("ResNet18", 3, 10, 8)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    x = torch.randn(1, 3, 8, 8)  # its last maps are 1×1
    torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.parametrize("name", ["MLP", "LeNet", "WRN282", "MobileNetV3Small", "ConvNet"])
def test_initial_parameters_depend_on_torchs_seed_alone(name: str) -> None:
    def drawn(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return list(nets.build(name, 3, 10, 32).state_dict().values())

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
