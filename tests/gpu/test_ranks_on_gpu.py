"""main.py on two pretended GPUs, a process each."""

from __future__ import annotations

import json
import math
from pathlib import Path

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
