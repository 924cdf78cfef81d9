"""A scenario from its first step to its last: no image is seen that must not be, and wherever it stops it goes on."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nets
from condensation.config import CondensationConfig
from continual_learning.memory import Memory
from continual_learning.seen_classes import SeenClasses
from continual_learning.stages import Stages
from continual_learning.step_data import step_data
from experiments.selection import Selection
from utils.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.images import MemoryImages
from utils.data.load import Data
from utils.data.registry import DataSpec
from utils.execution import ExecutionConfig
from utils.records.run_folder import RunFolder
from utils.records.summary import Summary
from utils.scenario import ScenarioConfig
from utils.training.machine import Machine

STEPS = ((2, 3), (0, 5), (1, 4))
ORDER = tuple(label for step in STEPS for label in step)
TRAINING = TrainingConfig(epochs=2, batch=8, optimizer=OptimizerConfig(lr=0.05), augment=False, test_interval=0)
CONDENSATION = CondensationConfig(
    DataConfig("Tiny"), "MLP", 0, "DM", ipc=2, init="real", iterations=2, pixel_lr=1.0, strategy="crop", real_batch=5
)
FILLINGS = {
    "LCMat": SelectionConfig("LCMat", model="MLP", proxy=TRAINING, scoring="temperature", temperature="auto"),
    "AUM": SelectionConfig("AUM", model="MLP", proxy=TRAINING),  # looks at the trace of the proxy's training
    "DM": CONDENSATION.selection(),
}


def six_classes(seed: int = 0) -> Data:
    """Classes that differ in one bright row each; 10 images a class to train on, 4 to test on; pixels are floats."""
    random = torch.Generator().manual_seed(seed)

    def half(each: int) -> MemoryImages:
        labels = torch.arange(6 * each) % 6
        images = torch.randint(0, 120, (6 * each, 1, 8, 8), generator=random).float()
        images[torch.arange(len(labels)), :, labels] += 120
        return MemoryImages(images, labels)

    spec = DataSpec("Tiny", 1, 8, 6, tuple("abcdef"), (0.3,), (0.2,), "none")
    return Data(spec, half(10), half(4), torch.arange(60), torch.empty(0, dtype=torch.int64), f"six classes {seed}")


DATA = six_classes()


@pytest.fixture(autouse=True)
def _data(monkeypatch):
    serve(monkeypatch, DATA)


def serve(monkeypatch: pytest.MonkeyPatch, data: Data) -> None:
    for module in ("stages", "filling"):
        monkeypatch.setattr(f"continual_learning.{module}.data_for", lambda *_: data)


def config(protocol: str, filling: str = "LCMat", **changes) -> RunConfig:
    scenario = ScenarioConfig(3, class_order=ORDER, protocol=protocol, **(changes or {"ipc": 2}))
    return RunConfig(
        DataConfig("Tiny"), "MLP", FILLINGS[filling], CoresetSize.of(fraction=0.2), 0, TRAINING, scenario=scenario
    )


def machine(folder: Path) -> Machine:
    return Machine(torch.device("cpu"), ExecutionConfig(save_path=str(folder), checkpoint_interval=0))


def complete(run_config: RunConfig, folder: Path) -> tuple[Path, Summary]:
    with RunFolder(run_config, folder) as run:
        return run.path, Stages(run, machine(folder)).complete()


def content(folder: Path) -> dict[str, bytes]:
    """What a run came to, but for clocks."""
    names = ("coreset.npz", "history.csv", "*/memory.npz", "*/history.csv")
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in sorted(folder.glob(name))}


def results(summary: Summary) -> tuple:
    return summary.continual, summary.final_accuracy, summary.training_steps, summary.coreset_size


EVERY_WAY = [*itertools.product(["memory", "replay"], FILLINGS), ("joint", "LCMat"), ("finetune", "LCMat")]


@pytest.mark.parametrize(("protocol", "filling"), EVERY_WAY)
def test_images_of_later_steps_change_nothing_before(protocol, filling, tmp_path, monkeypatch):
    clean, summary = complete(config(protocol, filling), tmp_path / "clean")
    serve(monkeypatch, without(DATA, torch.isin(DATA.train.labels, torch.tensor(STEPS[2])), STEPS[2]))
    monkeypatch.setattr(ScenarioConfig, "classes", lambda *_: STEPS[:2])
    poisoned, cut_short = complete(config(protocol, filling), tmp_path / "poisoned")
    for name, written in content(poisoned).items():
        if name.startswith("step_"):
            assert (clean / name).read_bytes() == written, name
    assert cut_short.continual.matrix == summary.continual.matrix[:2]


@pytest.mark.parametrize("sees", [False, True])
@pytest.mark.parametrize(
    ("protocol", "filling"), [*itertools.product(["memory", "replay"], FILLINGS), ("finetune", "DM")]
)
def test_of_earlier_steps_only_the_memory_is_seen(protocol, filling, sees, tmp_path, monkeypatch):
    asked = config(protocol, filling, ipc=2, proxy_sees_memory=sees)
    clean, summary = complete(asked, tmp_path / "clean")
    stop_after_first_step(asked, tmp_path / "poisoned", monkeypatch)
    gone = torch.isin(DATA.train.labels, torch.tensor(STEPS[0]))
    memory = np.load(tmp_path / "poisoned" / clean.name / "step_01" / "memory.npz")
    if "indices" in memory:
        gone[torch.tensor(memory["indices"])] = False
    assert gone.any()
    serve(monkeypatch, without(DATA, gone, ()))
    poisoned, again = complete(asked, tmp_path / "poisoned")
    assert content(poisoned) == content(clean)
    assert results(again) == results(summary)


def without(data: Data, gone: torch.Tensor, untested: tuple[int, ...]) -> Data:
    """The data with NaN for training images where ``gone``, and for test images of the classes ``untested``."""
    tested = torch.isin(data.test.labels, torch.tensor(untested, dtype=torch.int64))
    halves = [
        MemoryImages(half.images.masked_fill(mask.view(-1, 1, 1, 1), torch.nan), half.labels)
        for half, mask in ((data.train, gone), (data.test, tested))
    ]
    return dataclasses.replace(data, train=halves[0], test=halves[1])


def stop_after_first_step(asked: RunConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Stages._record

    def stop(stages: Stages, *arguments) -> None:
        record(stages, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stages, "_record", stop)
        with pytest.raises(KeyboardInterrupt):
            complete(asked, folder)


@pytest.mark.parametrize(
    ("protocol", "filling"), [("memory", "LCMat"), ("replay", "DM"), ("replay", "AUM"), ("joint", "DM")]
)
def test_killed_after_any_file_it_ends_the_same(protocol, filling, tmp_path, monkeypatch):
    asked = config(protocol, filling)
    undisturbed, summary = complete(asked, tmp_path / "undisturbed")
    replace, stopped = Path.replace, []

    def attempt(writes: int) -> bool:
        """Run until as many files are written; return whether it came to its end."""
        left = writes

        def count(self: Path, target: Path) -> Path:
            nonlocal left
            moved = replace(self, target)
            if Path(target).name != "config.json":
                left -= 1
                if not left:
                    stopped.append(f"{Path(target).parent.name}/{Path(target).name}")
                    raise KeyboardInterrupt
            return moved

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", count)
            try:
                complete(asked, tmp_path / "killed")
            except KeyboardInterrupt:
                return False
        return True

    writes = 1  # more where it was stopped there before, so that it comes on
    while not attempt(writes):
        writes = writes + 1 if stopped[-1] in stopped[:-1] else 1
    ended, again = complete(asked, tmp_path / "killed")
    assert content(ended) == content(undisturbed)
    assert results(again) == results(summary)
    within = {name.rpartition("/")[2] for name in stopped}
    assert {"memory.npz", "training.pt", "step.json", "history.csv"} <= within
    assert filling != "DM" or protocol == "joint" or "condensation.pt" in within
    assert not list(ended.rglob("*.pt"))


def test_a_damaged_step_is_made_again(tmp_path):
    asked = config("replay")
    folder, summary = complete(asked, tmp_path)
    before = content(folder)
    for name in ("summary.json", "step_03/memory.npz"):
        (folder / name).write_bytes(b"damaged")
    (folder / "summary.json").unlink()
    again = complete(asked, tmp_path)[1]
    assert content(folder) == before
    assert results(again) == results(summary)


def test_a_memory_that_shrinks_keeps_the_first_picks_of_each_class(tmp_path, monkeypatch):
    folder, summary = complete(config("memory", memory=13), tmp_path)
    memories = [Memory.of(Coreset.load(folder / f"step_0{step}" / "memory.npz"), DATA) for step in (1, 2, 3)]
    assert [np.bincount(memory.labels, minlength=6).tolist() for memory in memories] == [
        [0, 0, 6, 6, 0, 0],
        [3, 0, 3, 3, 0, 3],
        [2, 2, 2, 2, 2, 2],
    ]
    for label in range(6):
        picks = [memory.images.indices[memory.labels == label].tolist() for memory in memories]
        for earlier, later in itertools.pairwise(each for each in picks if each):
            assert later == earlier[: len(later)]
    assert summary.coreset_size == 12


@pytest.mark.parametrize("filling", ["LCMat", "AUM"])
def test_one_step_is_shown_what_an_ordinary_selection_is(filling, tmp_path):
    run = dataclasses.replace(config("memory", filling), scenario=None)
    part = step_data(DATA, range(6), Memory.empty().indices).data
    one, other = (Selection(run, [run.size], machine(tmp_path), data) for data in (part, DATA))
    np.testing.assert_array_equal(one.coreset(run.size).indices, other.coreset(run.size).indices)
    assert part.fingerprint != DATA.fingerprint


def test_a_step_of_a_single_class_is_selected_from(tmp_path):
    run = dataclasses.replace(config("memory"), scenario=ScenarioConfig(6, class_order=ORDER, ipc=2))
    summary = complete(run, tmp_path)[1]
    assert summary.continual.accuracies[0] == 100.0
    assert summary.coreset_size == 12


def test_classes_not_seen_take_no_part():
    torch.manual_seed(0)
    network = nets.build("MLP", 1, 6, 8)
    seen = SeenClasses(network, {1, 4})
    x, y = torch.randn(5, 1, 8, 8), torch.tensor([0, 2, 3, 5, 0])
    logits = seen(x)
    kept = [0, 2, 3, 5]
    assert not torch.isin(logits.argmax(dim=1), torch.tensor([1, 4])).any()
    loss = nn.functional.cross_entropy(logits, y)
    alone = nn.functional.cross_entropy(network(x)[:, kept], torch.tensor([kept.index(label) for label in y]))
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert not network.classifier.weight.grad[[1, 4]].any()
    assert network.classifier.weight.grad[kept].any()


@pytest.mark.parametrize(("filling", "sheet"), [("LCMat", "contact_sheet"), ("DM", "synthetic_sheet")])
def test_a_picture_that_cannot_be_drawn_costs_a_line_and_no_result(filling, sheet, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError("cannot open\nresource")  # as of a font that is not there

    monkeypatch.setattr(f"utils.records.contact_sheet.{sheet}", fail)
    run, summary = complete(config("memory", filling), tmp_path)
    with RunFolder(config("memory", filling), tmp_path) as folder:
        assert folder.summary() == summary
    assert not (run / "memory.png").exists()
    assert "warning: memory.png could not be drawn: cannot open resource" in capsys.readouterr().err
