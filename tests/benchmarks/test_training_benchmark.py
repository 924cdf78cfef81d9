"""The training benchmark: both sides do the same work, and its numbers are what it says they are."""

from __future__ import annotations

import pytest
import torch

import nets
from benchmarks import training, training_gpu
from utils.data.load import Data

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Data:
    """The digits as 3×32×32, but for most of them."""
    return training.load(None, 300)


def test_images_come_from_all_classes(data):
    assert len(data.train) == len(data.pool) == 300
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert data.train.labels.unique().tolist() == list(range(10))


def test_without_augmentation_both_sides_see_the_same_images(data):
    theirs = torch.cat([x for x, _ in training.torchvision_loader(data, 0, augment=False)])
    plain = training.Batches(data.train, data.spec, data.pool, 128, device=CPU)
    torch.testing.assert_close(torch.cat([batch.x for batch in plain]), theirs, rtol=1e-5, atol=1e-5)


def test_with_it_both_sides_see_as_many_images_of_the_same_kind(data):
    for loader in (training.torchvision_loader(data, 0), training.own_loader(data)):
        batches = list(loader)
        assert [len(y) for _, y in batches] == [128, 128, 44]
        x, y = (torch.cat(each) for each in zip(*batches, strict=True))
        assert x.dtype == torch.float32
        assert torch.equal(y.bincount(), data.train.labels.bincount())
        assert x.mean().item() == pytest.approx(0, abs=0.2)
        assert x.std().item() == pytest.approx(1, abs=0.2)


def test_speeds_are_medians_and_the_repeats_go_round():
    order: list[int] = []
    seconds = {0: iter([9.0, 1.0, 2.0]), -1: iter([4.0, 4.0, 1.0])}

    def epoch(key: int) -> float:
        order.append(key)
        return next(seconds[key])

    found = training.speeds({0: lambda: epoch(0), -1: lambda: epoch(-1)}, images=8, repeats=3)
    assert found == {0: 4.0, -1: 2.0}
    assert order == [0, -1] * 3


def test_it_prints_a_table_and_says_what_was_not_measured(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training, "WORKERS", (0,))
    training.main(["--images", "200", "--repeats", "1", "--networks", "MLP"])
    lines = capsys.readouterr().out.splitlines()
    table = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert table == ["| work", "| ---", "| loading alone", "| training MLP"]
    assert "not measured: no accelerator" in lines[-1]


def test_flops_are_three_products_for_each_weight_but_two_for_the_first_layer():
    mlp = nets.build("MLP", 3, 10, 8)
    first, *rest = [p.numel() for p in mlp.parameters() if p.ndim == 2]
    assert training_gpu.training_flops("MLP", side=8) == 2 * (2 * first + 3 * sum(rest))


def test_the_table_s_time_counts_every_step_once():
    step = {50: 1.0, 500: 1.0, 5000: 1.0}
    steps = [1, 2, 4, 20, 40, 79, 118]  # of an epoch on 50, 250, 500, 2500, 5000, 10000 and 15000 images
    assert training_gpu.table_seconds(step) == 3 * (10 * 391 + 200 * sum(steps))
    assert training_gpu.table_seconds({50: 0.0, 500: 0.0, 5000: 1.0}) == 3 * (10 * 391 + 200 * (40 + 79 + 118))


def test_the_gpu_s_measurements_run_on_a_small_scale_anywhere():
    assert training_gpu.matmul_rate(CPU, side=64, repeats=2) > 0
    outcome = training_gpu.train("MLP", training_gpu.random_data(64, 16, side=8), 50, 2, 32, CPU)
    assert outcome.steps == 4
    assert outcome.images_per_second > 0
