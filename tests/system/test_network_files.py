"""Retrained networks that are kept, and networks in files as proxies."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import FAST, Commands

import nets
from experiments.network_file import NetworkDescription, load_network, save_network
from methods import Coreset
from utils.config import DataConfig
from utils.data.batches import Batches
from utils.data.fingerprint import identified
from utils.data.load import load_data
from utils.files import read_npz
from utils.records.tables import load_table
from utils.training.evaluation import evaluate

FLAGS = f"{FAST} --epochs 2 --fraction 0.05"


@pytest.fixture
def kept(commands: Commands) -> Path:
    """A network that was trained on a coreset."""
    assert commands.main(f"{FLAGS} --selection Uniform --save_network", "trained").status == 0
    [folder] = commands.runs(save_path="trained")
    return folder / "network.pt"


def test_the_network_that_was_tested_last_is_kept_with_what_it_is(commands: Commands, kept: Path) -> None:
    data, images = load_data(DataConfig("Digits")), identified(DataConfig("Digits"))
    network = load_network(kept, "MLP", data.spec, images, "cpu")
    everything = Batches(data.test, data.spec, torch.arange(len(data.test)), 100, device="cpu")
    summary = json.loads((kept.parent / "summary.json").read_text())
    assert evaluate(network, everything).accuracy == summary["final_accuracy"]
    described = torch.load(Path(write_payload(kept)), weights_only=True)["description"]
    assert described == {
        "model": "MLP",
        "channels": 1,
        "class_names": tuple("0123456789"),
        "im_size": 8,
        "train_images": images.train_images,
    }


def write_payload(path: Path) -> Path:
    """Write beside a checkpoint what follows its magic line and its checksum."""
    content = path.read_bytes()
    payload = path.with_name("payload")
    payload.write_bytes(content[content.index(b"\n") + 1 + 32 :])
    return payload


def test_a_complete_run_whose_network_was_not_kept_says_so(commands: Commands) -> None:
    commands.main(f"{FLAGS} --selection Uniform")
    answer = commands.main(f"{FLAGS} --selection Uniform --save_network")
    assert answer.status == 0
    assert "its network was not kept" in answer.err


def test_a_proxy_from_a_file_selects_as_its_features_do(commands: Commands, kept: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("experiments.proxies.train_proxy", None)  # whatever trains a proxy fails the test
        answer = commands.main(f"{FLAGS} --proxy {kept} --save_features --select_only")
    assert answer.status == 0, answer.err
    [features] = (commands.folder / "result" / "features").glob("*.npz")
    assert commands.main(f"{FLAGS} --features {features} --select_only", "by_features").status == 0
    [first], [second] = commands.runs(), commands.runs(save_path="by_features")
    assert Coreset.load(first / "coreset.npz").digest() == Coreset.load(second / "coreset.npz").digest()
    data = load_data(DataConfig("Digits"))
    network = load_network(kept, "MLP", data.spec, DataConfig("Digits"), "cpu")
    z = network.embed((data.train.images / 255 - data.spec.mean[0]) / data.spec.std[0])
    torch.testing.assert_close(torch.tensor(read_npz(features)["embeddings"]), z.detach(), rtol=1e-4, atol=1e-5)


def test_the_file_is_part_of_the_name_and_the_settings(commands: Commands, kept: Path) -> None:
    other = commands.folder / "other.pt"
    torch.manual_seed(1)
    spec, images = load_data(DataConfig("Digits")).spec, identified(DataConfig("Digits"))
    save_network(other, nets.build("MLP", 1, 10, 8), NetworkDescription.of("MLP", spec, images))
    copied = shutil.copy(kept, commands.folder / "copy.pt")
    for file in (kept, other, copied):
        assert commands.main(f"{FLAGS} --proxy {file}").status == 0
    assert commands.main(FLAGS).status == 0
    configs = [json.loads((folder / "config.json").read_text())["run"] for folder in commands.runs()]
    assert len(configs) == 3
    files = {config["selection"]["proxy_file"] for config in configs}
    assert len(files) == 3
    assert None in files
    labels = {row.label for row in load_table([commands.folder / "result"]).rows}
    assert len(labels) == 3
    assert all(any(f"proxy_file={file}" in label for label in labels) for file in files - {None})


def test_a_run_selected_through_a_file_is_resumed_with_it_alone(commands: Commands, kept: Path) -> None:
    commands.main(f"{FLAGS} --proxy {kept} --select_only")
    [folder] = commands.runs()
    (folder / "coreset.npz").unlink()
    assert "was selected by other --proxy; give the same file again" in commands.main(f"--resume {folder}").error
    assert commands.main(f"--resume {folder} --proxy {kept}").status == 0


def test_a_landscape_reads_the_same_file(commands: Commands, kept: Path) -> None:
    made = commands.folder / "half.npz"
    Coreset(torch.arange(0, 1400, 9).numpy()).save(made)
    flags = f"--dataset Digits --points 3 --worst_case none --coreset {made}"
    answer = commands.landscape(f"{flags} --model MLP --network {kept}")
    assert answer.status == 0, answer.err
    assert f"{kept} does not say" not in answer.err
    assert "holds MLP, not LeNet" in commands.landscape(f"{flags} --model LeNet --network {kept}").error


@pytest.mark.parametrize(
    ("change", "flags", "said"),
    [
        ({}, "--model LeNet", "holds MLP, not LeNet; give --selection_model MLP"),
        ({}, "--im_size 12", "takes images of 1 x 8 x 8, and those of Digits are 1 x 12 x 12"),
        ({"class_names": ("cat", "dog")}, "", "tells 2 classes apart (cat, dog), and Digits has 10 (0, 1, 2"),
        ({"class_names": tuple("1234567890")}, "", "tells 10 classes apart (1, 2"),
        ({"train_images": "1438-0"}, "", "was made of other images than Digits has"),
        ({"class_names": None}, "", "does not say what its network is for"),
    ],
)
def test_a_network_for_something_else_is_refused(commands: Commands, kept: Path, change, flags, said) -> None:
    data, images = load_data(DataConfig("Digits")), identified(DataConfig("Digits"))
    network = load_network(kept, "MLP", data.spec, images, "cpu")
    description = dataclasses.replace(NetworkDescription.of("MLP", data.spec, images), **change)
    save_network(kept, network, description)
    assert said in commands.main(f"{FLAGS} --proxy {kept} {flags}").error


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--selection AUM", "AUM needs a training trace"),
        ("--selection GraNd", "GraNd needs the gradient norms of several"),
        ("--selection CCS", "CCS needs a training trace"),
        ("--prune hardest:0.1", "LCMat needs a training trace"),
        ("--features f.npz", "both stand in for a proxy's training"),
    ],
)
def test_what_a_trained_network_does_not_tell_is_refused(commands: Commands, kept: Path, flags, said) -> None:
    assert said in commands.main(f"{FLAGS} --proxy {kept} {flags}").error


def test_a_state_dict_from_elsewhere_is_taken_with_a_note_and_damage_refused(commands: Commands, kept: Path) -> None:
    mine = commands.folder / "mine.pt"
    torch.save(nets.build("MLP", 1, 10, 8).state_dict(), mine)
    answer = commands.main(f"{FLAGS} --proxy {mine} --select_only")
    assert answer.status == 0, answer.err
    assert f"note: {mine} does not say of which images it was made; taken to be of Digits" in answer.err
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert "is damaged (its checksum does not match)" in commands.main(f"{FLAGS} --proxy {kept}").error
    torch.save([1, 2], mine)
    assert "holds no network" in commands.main(f"{FLAGS} --proxy {mine}").error


def test_flags_of_a_proxys_training_are_named_beside_a_file(commands: Commands, kept: Path) -> None:
    answer = commands.main(f"{FLAGS} --proxy {kept} --select_only --save_network")
    for flag in ("selection_epochs", "selection_lr"):  # as FAST has them
        assert f"note: --{flag} is not used with --proxy" in answer.err
    assert "note: --save_network is not used with --select_only" in answer.err
    assert (
        "note: --proxy is not used: Uniform trains no proxy"
        in commands.main(f"{FLAGS} --selection Uniform --select_only --proxy {kept}").err
    )
