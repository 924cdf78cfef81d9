"""A run's last stage: a fresh network on the coreset, and the record of what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nets
from experiments.command_line import Settings
from experiments.data import data_for
from experiments.landscape.gaps import record_gaps
from experiments.network_file import NETWORK, NetworkDescription, save_network
from utils.config import RunConfig
from utils.data.coreset import Coreset
from utils.data.registry import DataSpec
from utils.data.small_set import SmallSet
from utils.data.training_set import TrainingSet
from utils.device import describe_device, forget_peak_memory, peak_memory
from utils.errors import UserError
from utils.records.run_folder import RunFolder
from utils.records.summary import Summary, Timing, summarise
from utils.seeding import seed_torch
from utils.training.machine import Machine
from utils.training.trainer import Training


def retrainings(config: RunConfig, settings: Settings) -> Iterator[RunConfig]:
    """Yield the run for --model and each --cross network, trained as the flags say, as often as --num_eval says."""
    for model in (settings.model, *settings.cross):
        for repeat in range(settings.num_eval):
            yield replace(config, model=model, training=settings.training, repeat=repeat)


def retrain(run: RunFolder, machine: Machine) -> Path:
    """Complete the run whose coreset is in its folder; one that is complete stays as it is. Return the folder.

    Raises:
        DivergedError: the loss became NaN or infinite.
        UserError: the coreset does not fit the data, or the analyses asked for are not of such a set.
    """
    summary = run.summary()
    if summary is None:
        small_set, timing = run.small_set()
        summary = _train(run, small_set, timing, machine)
    elif machine.execution.save_network and not (run.path / NETWORK).exists():
        lost = "is complete, and its network was not kept; move it away to train it again"
        print(f"note: {run.path} {lost}", file=sys.stderr)
    print(f"{run.path}: {summary.coreset_size} images, final accuracy {summary.final_accuracy:.2f} %", flush=True)
    return run.path


def leave_selected(run: RunFolder, machine: Machine) -> Path:
    """End with the coreset in a run's folder, and record that nothing was retrained; return the folder."""
    recorded = machine.world.on_rank_zero(run.leave_selected)
    size = len(run.small_set()[0])
    print(f"{run.coreset_path}: {size} images" + (", nothing was retrained" if recorded else ""), flush=True)
    return run.path


def retraining_purpose(repeat: int) -> str:
    """Return the name of the random numbers of a retraining: the same for every method and fraction of a seed."""
    return f"retraining {repeat}"


def fresh_network(config: RunConfig, spec: DataSpec) -> nets.Network:
    """Return the network that a run's retraining begins with."""
    seed_torch(config.seed, retraining_purpose(config.repeat), "network")
    return nets.build(config.model, spec.channels, spec.num_classes, spec.im_size)


def _train(run: RunFolder, small_set: SmallSet, timing: Timing, machine: Machine) -> Summary:
    config, execution, world = run.config, machine.execution, machine.world
    forget_peak_memory(machine.device)
    analysed = execution.after_analyses or execution.exact_analyses
    if analysed and not isinstance(small_set, Coreset):
        raise UserError(
            "--after_analyses and --exact_analyses look at images that were selected; "
            "leave them out where a synthetic set is trained on"
        )
    data = data_for(config.model, config.data, config.seed, machine)
    training_set = small_set.training_set(data)
    network, purpose = fresh_network(config, data.spec), retraining_purpose(config.repeat)
    result = Training(
        network,
        training_set,
        config.training,
        seed=config.seed,
        purpose=purpose,
        label=f"{config.model} on {len(training_set)} images",
        machine=machine,
        checkpoint=run.checkpoint_path,
        on_history=run.write_history,
        profile=run.path / "profile.json.gz" if execution.profile and world.is_rank_zero else None,
    ).run()
    if execution.save_network:
        description = NetworkDescription.of(config.model, data.spec, config.data)
        world.on_rank_zero(save_network, run.path / NETWORK, network, description)
    if analysed and isinstance(small_set, Coreset):
        world.on_rank_zero(record_gaps, run.path, network.eval(), data, small_set, machine)
    certificate = small_set.certified if isinstance(small_set, Coreset) else None
    world.on_rank_zero(run.write_history, result.history)
    summary = summarise(
        config,
        result.history,
        coreset_size=len(training_set),
        pool_size=len(data.pool),
        training_steps=result.steps,
        seconds={**timing.seconds, "training": result.seconds},
        images_per_second={**timing.images_per_second, "training": result.images_per_second},
        temperature=timing.temperature,
        certificate=certificate,
        wrong_labels=wrong_labels(training_set),
        peak_memory_bytes=max(timing.peak_memory_bytes, *world.all_gather_object(peak_memory(machine.device))),
        device=describe_device(machine.device, world.size),
        test=result.test,
        class_names=data.spec.class_names,
    )
    world.on_rank_zero(run.finish, summary)
    return summary


def wrong_labels(training_set: TrainingSet) -> float | None:
    """Return the percentage of images whose label --label_noise made wrong; None without it."""
    wrong = training_set.data.wrong
    return None if wrong is None else 100 * float(wrong[training_set.indices].double().mean())
