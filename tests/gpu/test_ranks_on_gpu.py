"""main.py on two pretended GPUs, a process each."""

from __future__ import annotations

import json
import math
from pathlib import Path

from gpu.counts import ranks
from torchrun import torchrun

# 72 images in batches of 71: the last one is a single image, so that one rank has none of it.
FLAGS = (
    "--dataset Digits --model LeNet --fraction 0.05 --selection LCMat -se 1 --selection_batch 600 --epochs 2 --batch 71"
)


def test_two_ranks_select_and_train(tmp_path: Path):
    done = torchrun("tests/gpu/rank.py", *FLAGS.split(), "--workers", "0", "--save_path", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (summary,) = [json.loads(path.read_text()) for path in tmp_path.glob("*/summary.json")]
    assert summary["device"] == "2 × pretended GPU"
    assert summary["coreset_size"] == 72 and summary["training_steps"] == 4
    assert math.isfinite(summary["final_accuracy"])


def test_a_rank_waits_for_its_buckets_once_and_twice_an_epoch():
    found, steps = ranks("LeNet"), 10
    assert found["a step"].waits * steps <= 4  # the first backward pass says in which order gradients come
    assert found["an epoch beside its steps"].waits == 2  # its sums, and its test's
