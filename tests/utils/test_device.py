"""Which device computes, and how; what needs a GPU is tested only where there is one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from tiny_data import make_data

import nets
from utils.config import OptimizerConfig, TrainingConfig
from utils.data.batches import Normaliser
from utils.data.training_set import TrainingSet
from utils.device import (
    autocast,
    describe_device,
    finish_queued_work,
    full_precision,
    memory_layout,
    pick_device,
    random_state,
    restore_random_state,
)
from utils.errors import UserError
from utils.training.machine import Machine
from utils.training.trainer import Training

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has two GPUs, and lets one be chosen."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for module, name in ((torch.backends.cudnn, "allow_tf32"), (torch.backends.cudnn, "benchmark")):
        monkeypatch.setattr(module, name, getattr(module, name))
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize(
    ("gpu", "local_rank", "chosen"), [((), 0, 0), ((1,), 0, 1), ((), 1, 1), ((1, 0), 0, 1), ((1, 0), 1, 0)]
)
def test_each_process_takes_a_gpu_of_its_own(two_gpus, gpu, local_rank, chosen):
    assert pick_device(gpu, local_rank) == torch.device("cuda", chosen)
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.parametrize(
    ("gpu", "local_rank", "message"),
    [
        ((2,), 0, "--gpu 2: this machine has GPUs 0 to 1"),
        ((), 2, "--nproc_per_node=2"),
        ((1,), 1, "--nproc_per_node=1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused(two_gpus, gpu, local_rank, message):
    with pytest.raises(UserError, match=message):
        pick_device(gpu, local_rank)


def test_the_cpu_can_be_asked_for_where_there_are_gpus(two_gpus):
    assert pick_device(("cpu",), 1) == CPU


def test_without_a_gpu_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device((3,), 5) == CPU


@pytest.mark.parametrize(("enabled", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_autocast_is_bfloat16_where_it_is_asked_for(enabled, dtype):
    with autocast(CPU, enabled):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_losses_are_computed_in_float32_or_wider(dtype):
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert full_precision(torch.ones(2, dtype=dtype)).dtype == expected


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_images_lie_as_kernels_do(monkeypatch, device):
    layout = memory_layout(device)
    assert layout == (torch.channels_last if device.type == "cuda" else torch.contiguous_format)
    spec = make_data().spec
    images = torch.randint(256, (5, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("utils.data.batches.memory_layout", lambda _: layout)
    x = Normaliser(spec, CPU)(images)
    assert x.is_contiguous(memory_format=layout)
    torch.testing.assert_close(x, (images / 255 - spec.mean[0]) / spec.std[0])


def test_random_numbers_go_on_from_a_saved_state():
    torch.manual_seed(3)
    state = random_state(CPU)
    expected = torch.rand(4)
    torch.rand(7)
    restore_random_state(state, CPU)
    assert torch.equal(torch.rand(4), expected)


def test_peak_memory_counts_what_was_held_and_let_go():
    program = (
        "import torch; from utils.device import forget_peak_memory, peak_memory; cpu = torch.device('cpu');"
        "before = peak_memory(cpu);"
        "torch.ones(200, 2**18).sum(); after = peak_memory(cpu);"
        "forget_peak_memory(cpu); print([before, after, peak_memory(cpu)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after, forgotten = json.loads(done.stdout)
    assert 2**22 < before < 2**34
    assert 0.9 * 200 * 2**20 < after - before < 1.3 * 200 * 2**20
    assert after - forgotten > 0.5 * 200 * 2**20


def test_a_device_is_described_in_words():
    words = describe_device(CPU)
    assert words.startswith("CPU, ")
    assert f"{torch.get_num_threads()} threads" in words
    assert describe_device(CPU, 4) == f"4 × {words}"
    finish_queued_work(CPU)


@needs_gpu
@pytest.mark.parametrize("amp", [False, True])
def test_a_gpu_trains_as_the_cpu_does(amp):
    config = TrainingConfig(epochs=2, batch=16, optimizer=OptimizerConfig(lr=0.01), amp=amp)
    data = make_data()
    histories = []
    for device in (CPU, CUDA):
        torch.manual_seed(0)
        network = nets.build("ResNet18", 1, 3, 8)
        training_set, machine = TrainingSet(data, data.pool), Machine(device)
        training = Training(network, training_set, config, seed=0, purpose="test", label="test", machine=machine)
        histories.append(training.run().history)
    assert histories[1][0].train_loss == pytest.approx(histories[0][0].train_loss, rel=0.05)
