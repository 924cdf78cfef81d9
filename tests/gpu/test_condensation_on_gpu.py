"""Condensation on a GPU: many classes in one pass through the network, fewer where the memory is small."""

from __future__ import annotations

import pytest
import torch
from condensing import CPU, config
from gpu.counts import ten_classes
from gpu.pretended_gpu import PretendedGpu

from condensation.gradient_matching import GradientMatching
from condensation.inner_networks import fresh_network
from condensation.random_streams import RandomStreams
from condensation.real_batches import RealImages
from utils.training.machine import Machine

GPU, STREAMS, DATA = Machine(torch.device("cuda", 0)), RandomStreams(0, 0, 0), ten_classes(64)


def pixel_step(machine: Machine) -> tuple[list[float], list[float], int]:
    """Return the gradient of the pixels, the terms, and the real images that went through the network together."""
    settings = config("LCMat", model="ConvNet", curvature="diagonal", real_batch=64)
    method = GradientMatching(settings, RealImages(DATA, machine))
    network = fresh_network("ConvNet", DATA.spec, STREAMS, machine.device)
    pixels = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)).to(machine.device)
    gradient, terms = method.step(network, pixels, STREAMS)
    return gradient.flatten().tolist(), [float(terms.matching), float(terms.curvature)], method.at_once


def test_classes_together_move_pixels_as_one_after_another():
    gradient, terms, _ = pixel_step(CPU)
    with PretendedGpu():
        together = pixel_step(GPU)
    assert together[0] == pytest.approx(gradient, rel=1e-2, abs=1e-4)
    assert together[1] == pytest.approx(terms, rel=1e-4)


def test_fewer_images_go_together_where_the_gpu_is_small(capsys):
    with PretendedGpu():
        roomy = pixel_step(GPU)
    with PretendedGpu(total=60 << 20):
        small = pixel_step(GPU)
    assert roomy[2] == 4096
    assert 64 <= small[2] < 640
    assert small[1] == pytest.approx(roomy[1], rel=1e-4)
    assert f"note: too little memory; trying {small[2]} real images at once" in capsys.readouterr().err
    with PretendedGpu(total=12 << 20), pytest.raises(torch.OutOfMemoryError):
        pixel_step(GPU)
