"""Whatever flags a person types, a script ends with 0, or with 2 and one line; never with a traceback.

Training is left out: networks stay as they were initialised. Each line finds five finished runs and one that was
stopped. ``FUZZ_EXAMPLES=100000 pytest tests/faults/test_fuzz_command_lines.py`` tries many.
"""

from __future__ import annotations

import shlex
from collections import Counter
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs import SHORT, Scene, examples

import cross_network_generalization
import main
from experiments.arguments.flags import selecting
from methods import METHODS

FLAGS = {flag.name: flag for group in selecting().values() for flag in group}

KINDS = {"[yes|no]": ["yes", "no", "true", "0", "T", "False", "n"], "N": ["1", "2", "7"]}
NUMBERS = ["0.5", "0.1", "0.9", "1e-3"]
SOUND: dict[str, list[str]] = {
    "dataset": ["ImageFolder", "Digits", "imagefolder", "CIFAR10", "MNIST", "TinyImageNet", "ImageNet"],
    "data_path": ["../images", "nowhere", "../images/train", "../file", "../corrupt", "../one-class"],
    "im_size": ["8", "9", "16", "28", "1"],
    "val_ratio": ["0.2", "0.5", "0.01", "0.99"],
    "model": ["MLP", "mlp", "ConvNet", "LeNet"],
    "cross": ["MLP", "ConvNet", "MLP ConvNet"],
    "selection": list(METHODS),
    "selection_optimizer": ["Adam", "SGD", "Rprop"],
    "fraction": ["0.1", "0.5", "1", "0.3 0.6", "1e-3", "0.99 0.99", "1.0"],
    "budget": ["1", "3", "20", "1000000"],
    "ipc": ["1", "2", "1000000"],
    "selection_model": ["MLP", "ConvNet"],
    "features": ["../sound.npz", "../sound.npz", "../coreset.npz", "../file", "nowhere.npz", "../images"],
    "coreset": [
        "../coreset.npz",
        "../coreset.npz ../coreset.npz",
        "../sound.npz",
        "../file",
        "nowhere.npz",
        "../images",
    ],
    "eps": ["0", "0.05", "1e30", "1e-300"],
    "K": ["1", "100", "1000000000"],
    "kernel": ["cosine", "worst", "adacore", "grad_l2"],
    "submodular": ["FacilityLocation", "GraphCut", "LogDeterminant"],
    "submodular_greedy": ["NaiveGreedy", "LazyGreedy", "StochasticGreedy", "ApproximateLazyGreedy"],
    "uncertainty": ["LeastConfidence", "Entropy", "Margin"],
    "optimizer": ["SGD", "adam", "AdamW", "LBFGS", "RMSprop"],
    "lr": ["0.1", "1e-30", "1e30", "5"],
    "scheduler": ["CosineAnnealingLR", "none", "StepLR", "OneCycleLR", "ExponentialLR", "ConstantLR"],
    "augmentation": ["standard", "none", "color", "color_crop_cutout_flip_scale_rotate", "flip"],
    "epochs": ["1", "3", "2147483647"],
    "seed": ["0", "7", "2147483647"],
    "num_exp": ["1", "2"],
    "num_eval": ["1", "2"],
    "save_path": [
        "result",
        "other/deep",
        ".",
        "../file",
        "../file/below",
        "/dev/null",
        "/proc/nowhere",
        "re sult",
        "~/x",
    ],
    "resume": ["THE-RUN", "THE-RUN", "THE-RUN/summary.json", "result", "nowhere", "", "../file", "../images"],
    "checkpoint_interval": ["0", "1e9"],
    "gpu": ["0", "1 2"],
    "workers": ["0", "1", "3"],
    "data_on_device": ["auto", "on", "off"],
    "memory_budget": ["1MB", "8GB", "1000000", "2GiB"],
    "compile": ["no"],
}
JUNK = [
    *("x", "é", "None", "True", "ResNet19", "..", "%s", "[1]", "--", "-", "--x", "-e", "0.1,0.2"),
    *("0", "-1", "1.5", "nan", "inf", "-inf", "1e999", "1e-999", "0x10", "1_0", "٣", "½"),
    *("", " ", "\n", "1 2", "\ud83d", "9" * 40, "a" * 5000),
]
QUICK = {"num_exp", "num_eval"}  # flags whose larger values would only take time
Draw = st.DrawFn


@st.composite
def words(draw: Draw) -> list[str]:
    """A short run on a few images, up to five further flags, and in every third line something that is no good."""
    line = [*shlex.split(SHORT), "--fraction", "0.5"]
    chosen = draw(st.lists(st.sampled_from(sorted(FLAGS)), max_size=5))
    spoiled = draw(st.integers(0, 3 * len(chosen)))
    for place, name in enumerate(chosen):
        flag = FLAGS[name]
        sound = SOUND.get(name) or KINDS.get(flag.metavar, NUMBERS)
        value = draw(st.sampled_from(JUNK if place == spoiled - 1 else sound))
        if name in QUICK and value not in sound:
            value = "-1"
        form = draw(st.integers(0, 99))
        spelled = draw(st.sampled_from(flag.names.split()))
        if form == 99:
            line.append(spelled)
        elif form > 80:
            line.append(f"{spelled}={value}")
        else:
            line += [spelled, *value.split(" ")]
    if draw(st.integers(0, 39)) == 39:
        line.insert(draw(st.integers(0, len(line))), draw(st.sampled_from([*JUNK, "--help", "-h"])))
    return line


@pytest.mark.parametrize("script", [main, cross_network_generalization], ids=["main", "cross"])
def test_one_line_or_a_result(script: ModuleType, scene: Scene) -> None:
    statuses: Counter[int] = Counter()

    @examples(80)
    @given(line=words())
    def check(line: list[str]) -> None:
        statuses[scene.check(script.main, [f"{script.__name__}.py", *line])] += 1

    check()
    assert min(statuses[0], statuses[2]) >= statuses.total() // 20, statuses
