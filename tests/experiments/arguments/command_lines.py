"""A small cast of networks, methods and data sets to parse command lines against."""

from __future__ import annotations

import shlex

from experiments.arguments import Choices, Condition, MethodInfo, Spelling, parse
from experiments.arguments.flags import flags
from utils.config import Settings

CURVATURE = ("eps", "num_dims", "greedy", "weighted")
METHODS = (
    MethodInfo("LCMat", CURVATURE),
    MethodInfo("AdaCore", ("greedy", "weighted")),
    MethodInfo("Uniform", needs_proxy=False),
    MethodInfo("Full", needs_proxy=False, whole=True),
    MethodInfo("Uncertainty", ("uncertainty",)),
    MethodInfo("Glister", ("greedy", "eta")),
    MethodInfo("kCenterGreedy", ("pretrained",), proxy_unless="pretrained"),
    MethodInfo("Cal", ("pretrained", "neighbours")),
    MethodInfo(
        "Submodular",
        ("submodular", "kernel", *CURVATURE),
        conditions=(Condition("eps", "kernel", ("worst",)), Condition("num_dims", "kernel", ("worst",))),
        canonical=(Spelling((("submodular", "FacilityLocation"), ("kernel", "worst")), "LCMat"),),
    ),
)
CHOICES = Choices(
    networks=("MLP", "LeNet", "ConvNet", "ResNet18", "VGG16", "InceptionV3"),
    methods=METHODS,
    datasets=("CIFAR10", "CIFAR100", "TinyImageNet", "permutedMNIST", "Digits", "ImageFolder"),
)
MEMBERS = [flag for group in flags(CHOICES).values() for flag in group]


def read(line: str = "") -> Settings:
    return parse(shlex.split(line), program="main.py", choices=CHOICES)
