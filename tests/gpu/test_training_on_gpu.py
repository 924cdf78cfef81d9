"""Training on a GPU: no step waits, a run goes on on another device, a full GPU costs no proxy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from gpu.pretended_gpu import PretendedGpu
from gpu.small_training import small_training
from made_images import save_folder
from tiny_data import make_data

import nets
from experiments.proxy import ProxyConfig, train_proxy
from methods.deepfool import perturbations
from utils.config import OptimizerConfig, TrainingConfig
from utils.data.augmentation import RECORDED
from utils.data.batches import Batches
from utils.data.images import FileImages
from utils.data.registry import DataSpec
from utils.data.siamese import FAMILIES
from utils.device import forget_peak_memory, moved, peak_memory
from utils.execution import ExecutionConfig
from utils.training.evaluation import evaluate, with_batches_that_fit
from utils.training.machine import Machine
from utils.training.trainer import Training
from utils.training.training_trace import TrainingTrace

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SHORT = TrainingConfig(epochs=2, batch=16, optimizer=OptimizerConfig(lr=0.01))


def training(device: torch.device, config: TrainingConfig = SHORT, model: str = "ConvNet", **options) -> Training:
    execution = ExecutionConfig(checkpoint_interval=options.pop("checkpoint_interval", 600.0))
    return small_training(Machine(device, execution), config, model, **options)


@pytest.mark.parametrize("batch", [16, 100], ids=["with a smaller last batch", "all in one"])
def test_a_cuda_graph_is_of_one_shape(gpu, monkeypatch, batch):
    config, shapes = dataclasses.replace(SHORT, batch=batch, compile=True), []
    plain = training(GPU, dataclasses.replace(config, compile=False), model="MLP").run()

    def captured(network: torch.nn.Module, **options: object) -> object:
        assert options == {"mode": "reduce-overhead", "dynamic": False}

        def graph(x: torch.Tensor) -> torch.Tensor:
            shapes.append(len(x))
            return network(x)

        return graph

    monkeypatch.setattr(torch, "compile", captured)
    assert training(GPU, config, model="MLP").run().history == plain.history
    assert shapes == ([16] * 3 * 2 if batch == 16 else [60] * 2)


@pytest.mark.parametrize("families", [*FAMILIES, "_".join(FAMILIES), *RECORDED])
def test_images_are_augmented_on_a_gpu(gpu, families):
    config = dataclasses.replace(SHORT, epochs=1, augmentation=families)
    losses = [training(device, config, model="MLP").run().history[0].train_loss for device in (GPU, CPU)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("held", ["cpu", "cuda"])
def test_batches_are_made_without_waiting(gpu, held):
    data = make_data()
    batches = iter(Batches(data.train.to(torch.device(held)), data.spec, data.pool, 16, device=GPU, shuffle_seed=0))
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    assert sum(len(batch) for batch in batches) == len(data.pool) - 16


def test_batches_of_files_lie_on_the_gpu(gpu, tmp_path: Path):
    save_folder(tmp_path, {"a": 5}, size=(12, 12))
    images = FileImages(tmp_path, tuple(f"a/{k:03}.png" for k in range(5)), torch.arange(5) % 3, 3, 8, 8)
    spec = DataSpec("Files", 3, 8, 3, ("a", "b", "c"), (0.5,) * 3, (0.5,) * 3, "none")
    there, here = (
        [batch.x for batch in Batches(images, spec, torch.arange(5), 2, device=device)] for device in (GPU, CPU)
    )
    assert {x.device for x in there} == {GPU}
    assert all(torch.equal(x.cpu(), wanted) for x, wanted in zip(there, here, strict=True))


@pytest.mark.parametrize("place", [CPU, GPU])
@pytest.mark.parametrize("goal", [CPU, GPU])
def test_a_tensor_is_moved_either_way(gpu, place, goal):
    found = moved(torch.arange(3.0).to(place), goal)
    assert found.device == goal
    assert found.tolist() == [0, 1, 2]


def test_images_are_held_on_a_gpu_once(gpu):
    images = make_data().train
    first = Machine(GPU).hold(images)
    held = gpu.memory.allocated
    assert Machine(GPU).hold(images) is first
    assert gpu.memory.allocated == held >= images.nbytes
    assert Machine(GPU, ExecutionConfig(data_on_device="off")).hold(images) is images
    del first
    assert gpu.memory.allocated < held


def test_a_peak_can_be_forgotten(gpu):
    torch.zeros(1 << 20, device=GPU)
    assert peak_memory(GPU) >= 1 << 22
    forget_peak_memory(GPU)
    assert peak_memory(GPU) == gpu.memory.allocated < 1 << 22


def test_deepfool_has_no_convolution_tuned(gpu):
    torch.backends.cudnn.benchmark = True
    data = make_data()
    network = nets.build("ConvNet", 1, 3, 8).to(GPU)
    with gpu.phase("deepfool") as phase:
        scores = perturbations(network, Batches(data.train.to(GPU), data.spec, data.pool, 30, device=GPU))
    assert len(scores) == len(data.pool)
    assert phase.launches > 0
    assert not phase.tuned
    assert torch.backends.cudnn.benchmark


class Killed(BaseException):
    """Stands for a SIGKILL."""


def kill_after(run: Training, steps: int) -> None:
    step, left = run._step, iter(range(steps))

    def until_killed(batch) -> None:
        if next(left, None) is None:
            raise Killed
        step(batch)

    run._step = until_killed
    with pytest.raises(Killed):
        run.run()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("first", "then"), [(GPU, GPU), (CPU, GPU), (GPU, CPU)])
def test_a_run_goes_on_on_another_device(tmp_path, first, then, optimizer):
    config = dataclasses.replace(SHORT, optimizer=OptimizerConfig(optimizer, lr=0.01))
    kept = {"checkpoint": tmp_path / "c.pt", "checkpoint_interval": 0.0}
    with PretendedGpu():
        kill_after(training(first, config, **kept), 5)
        resumed, whole = training(then, config, **kept), training(first, config)
        resumed.run()
        whole.run()
        for a, b in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
            torch.testing.assert_close(a.cpu(), b.cpu(), rtol=1e-4, atol=1e-6)
            moments = [state for state in resumed.optimizer.state[a].values() if state.ndim]
            assert all(state.stride() == a.stride() for state in moments)


def test_a_full_gpu_costs_no_proxy(tmp_path):
    data, config = make_data(), ProxyConfig("ResNet18", SHORT, 0)
    execution = ExecutionConfig(save_path=str(tmp_path))
    with PretendedGpu():
        train_proxy(config, data, Machine(GPU, execution), TrainingTrace(60, 2))
    with PretendedGpu(total=20 << 20), pytest.raises(torch.OutOfMemoryError):
        train_proxy(config, data, Machine(GPU, execution), TrainingTrace(60, 2))
    assert not list((tmp_path / "proxies").glob("*.damaged"))


def test_a_proxy_from_the_cache_is_laid_out_as_one_that_was_trained(gpu, tmp_path):
    data, config = make_data(), ProxyConfig("ConvNet", SHORT, 0)
    machine = Machine(GPU, ExecutionConfig(save_path=str(tmp_path)))
    trained, cached = (train_proxy(config, data, machine, TrainingTrace(60, 2)).network for _ in range(2))
    for a, b in zip(trained.parameters(), cached.parameters(), strict=True):
        assert a.stride() == b.stride()


def test_tests_halve_their_batch_where_the_gpu_is_too_small(capsys):
    data, sums = make_data(test=4096), []
    for total in (1 << 30, 1 << 21):
        with PretendedGpu(total=total):
            torch.manual_seed(0)
            network = nets.build("MLP", 1, 3, 8).to(GPU).eval()
            batches = Batches(data.test, data.spec, torch.arange(4096), 4096, device=GPU)

            def evaluated(fit: Batches, network=network) -> tuple[float, float]:
                found = evaluate(network, fit)
                return found.loss, found.accuracy

            sums.append(with_batches_that_fit(evaluated, batches))
    assert sums[1] == pytest.approx(sums[0], rel=1e-5)
    assert "too little memory; trying batches of" in capsys.readouterr().err


def test_an_error_that_is_not_of_memory_is_not_tried_again():
    def broken(batches: Batches) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    data = make_data()
    with pytest.raises(RuntimeError, match="mat1"):
        with_batches_that_fit(broken, Batches(data.test, data.spec, torch.arange(30), 8, device=CPU))


def test_too_little_memory_is_no_fault_of_the_checkpoint(tmp_path):
    kept = {"checkpoint": tmp_path / "c.pt", "checkpoint_interval": 0.0}
    with PretendedGpu():
        kill_after(training(GPU, **kept), 2)
        run = training(GPU, **kept)

        def full(state) -> None:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")

        run.network.load_state_dict = full
        with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
            run.run()
    assert (tmp_path / "c.pt").exists()
