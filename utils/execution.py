"""Where and how a piece of work is done: what no result depends on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from utils.flags import OneOf, flag, gpu_or_cpu, integer, number, optional_path, path, size, switch, yes_no_or_path


@dataclass(frozen=True)
class ExecutionConfig:
    """Where and how the work is done; changes no result."""

    save_path: str = flag("result", "--save_path -sp", path, "where each run gets its folder", "DIR")
    resume: str | None = flag(
        None, "--resume -r", optional_path, "go on with the run in this folder or checkpoint", "PATH"
    )
    checkpoint_interval: float = flag(
        10.0,
        "--checkpoint_interval",
        number("[0, inf)"),
        "seconds of work that an interruption may cost, at most an epoch more",
        "S",
    )
    print_freq: int = flag(
        100, "--print_freq -p", integer(1), "steps between two lines of a log that is not a terminal", "N"
    )
    features: str | None = flag(
        None,
        "--features",
        optional_path,
        "select by these embeddings, logits or both, with labels, a file or a folder of shards, saved by "
        "--save_features or made elsewhere; no proxy",
        "FILE.npz|DIR",
        group="Selection",
    )
    proxy: str | None = flag(
        None,
        "--proxy",
        optional_path,
        "select through the trained network in this file, kept by --save_network or made elsewhere",
        "FILE.pt",
        group="Selection",
    )
    scores: str | None = flag(
        None,
        "--scores",
        optional_path,
        "take scores of difficulty from this file (npz or csv), made by utils.export or elsewhere, instead of a proxy",
        "FILE",
        group="Selection",
    )
    save_scores: bool = switch(
        "--save_scores", "keep the scores of the proxy's training with the run, whatever it selects by"
    )
    save_features: bool | str = flag(
        False,
        "--save_features",
        yes_no_or_path,
        "keep the proxy's embeddings and logits, to select again without it: yes (one npz below --save_path), or a "
        "folder for shards that are never held whole",
        "[yes|no|DIR]",
    )
    certificate: str = flag(
        "auto",
        "--certificate",
        OneOf("certificate", ("auto", "yes", "no")),
        "measure how far each coreset's loss is from the full set's at the proxy, beside random coresets: auto (where "
        "that takes seconds), yes or no",
        "WHEN",
        group="Selection",
    )
    save_network: bool = switch("--save_network", "keep the retrained network with the run, as network.pt")
    after_analyses: bool = switch("--after_analyses", "compare the curvature of coreset and full set after retraining")
    exact_analyses: bool = switch("--exact_analyses", "the same with exact instead of estimated eigenvalues; slow")
    gpu: tuple[int | str, ...] = flag(
        (),
        "--gpu",
        gpu_or_cpu,
        "CUDA devices to use, or cpu for none of them (default: the first, or else the CPU)",
        "ID [ID ...]",
        group="Machine",
    )
    workers: int = flag(
        min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1),
        "--workers -j",
        integer(0, 1024),
        "loader processes, for data that does not fit in memory",
        "N",
        group="Machine",
    )
    data_on_device: str = flag(
        "auto",
        "--data_on_device",
        OneOf("data_on_device", ("auto", "on", "off")),
        "keep the images on the training device: auto (where they fit), on or off",
        "WHEN",
        group="Machine",
    )
    memory_budget: int | None = flag(  # bytes; None: a fraction of what is free
        None,
        "--memory_budget",
        size,
        "what selection may use, in bytes or as 512MB, 8GB (default: a part of what is free)",
        "SIZE",
        group="Machine",
    )
    proxy_test_interval: int = flag(  # the proxy's log alone shows it
        0,
        "--selection_test_interval -sti",
        integer(0),
        "test every N epochs, for the log alone (0: only after the last)",
        "N",
        group="Proxy training",
    )
    profile: bool = switch("--profile", "write a torch profiler trace into the run's folder", group="Machine")
