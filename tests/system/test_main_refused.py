"""Bad input: one line, status 2, before any training, and nothing half written."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import FAST
from PIL import Image

from methods import Coreset


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--fraction 0", "(0, 1]"),
        ("--fraction 1.5", "(0, 1]"),
        ("--fraction nan", "(0, 1]"),
        ("--fraction 0.1 0.001", "gives none of the"),
        ("--budget 2000", "1438 samples"),
        ("--ipc 500", "samples of class '"),
        ("--ipc 5 --balance no", "--balance no"),
        ("--dataset Digitz", "Digits"),
        ("--model ResNet19", "ResNet18"),
        ("--selection LCMap", "LCMat"),
        ("--kernel cosinus", "cosine"),
        ("--submodular Facility", "FacilityLocation"),
        ("--submodular_greedy Lazy", "LazyGreedy"),
        ("--optimizer SGDD", "SGD"),
        ("--selection_optimizer SGDD", "SGD"),
        ("--scheduler Cosine", "CosineAnnealingLR"),
        ("--uncertainty Entropie", "Entropy"),
        ("--eps -1", "--eps"),
        ("--K 0", "--K"),
        ("--epochs 0", "--epochs"),
        ("--batch 0", "--batch"),
        ("--im_size 4 --model ConvNet", "8"),
        ("--gpu 0", "CUDA"),
        ("--memory_budget 3", "--memory_budget"),
        ("--frction 0.1", "--fraction"),
        ("--coreset nowhere.npz", "nowhere.npz"),
        ("--features nowhere.npz", "nowhere.npz"),
        ("--selection CCS --scores nowhere.npz", "nowhere.npz"),
        ("--prune hardest:0.2 --score Luck", "unknown score 'Luck'"),
        ("--prune hardest:0.5 --fraction 0.6", "fewer than fraction 0.6 asks for"),
        ("--label_noise nowhere.txt", "nowhere.txt"),
        ("--val true --val_ratio 1.0", "--val_ratio"),
    ],
)
def test_bad_flags(commands, flags, said, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("utils.training.trainer.Training.run", None)  # whatever trains now fails the test
    answer = commands.main(f"{FAST} {flags}")
    assert said in answer.error
    assert not list(commands.folder.iterdir())


def test_the_fraction_that_is_enough_works(commands):
    error = commands.main(f"{FAST} --selection Uniform --fraction 0.005").error
    enough = error.split()[-3]
    assert commands.main(f"{FAST} --selection Uniform --epochs 1 --fraction {enough}").status == 0


def test_a_save_path_that_cannot_be_written(commands):
    (commands.folder / "file").write_text("")
    assert "file" in commands.main(FAST, "file/result").error


def image_folder(root: Path, train: dict[str, int], test: dict[str, int]) -> str:
    for half, classes in (("train", train), ("test", test)):
        for name, count in classes.items():
            (root / half / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (number * 9 % 255, 20, 40)).save(root / half / name / f"{number}.png")
    return f"{FAST} --dataset ImageFolder --data_path {root}"


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ({"only": 3}, {"only": 2}, "class"),
        ({"cat": 3, "dog": 0}, {"cat": 1, "dog": 1}, "dog"),
        ({"cat": 3, "dog": 3}, {"cat": 1, "cow": 1}, "cow"),
        ({}, {}, "train"),
    ],
)
def test_bad_image_folders(commands, tmp_path, train, test, said):
    assert said in commands.main(image_folder(tmp_path / "images", train, test)).error


def test_every_corrupt_image_is_named(commands, tmp_path):
    flags = image_folder(tmp_path / "images", {"cat": 3, "dog": 3}, {"cat": 1, "dog": 1})
    for name in ("train/cat/1.png", "test/dog/0.png"):
        (tmp_path / "images" / name).write_bytes(b"no image")
    error = commands.main(flags).error
    assert "1.png" in error
    assert "0.png" in error


def test_an_image_folder_runs(commands, tmp_path):
    flags = image_folder(tmp_path / "images", {"cat": 6, "dog": 5}, {"cat": 2, "dog": 2})
    answer = commands.main(f"{flags} --fraction 0.2 0.5 --epochs 1")
    assert answer.status == 0, answer.err
    assert len(commands.runs("ImageFolder_MLP_LCMat_*")) == 2


def test_a_class_that_a_budget_leaves_empty_is_named_and_kept_on_request(commands, tmp_path):
    folders = image_folder(tmp_path / "images", {"cat": 20, "newt": 1}, {"cat": 2, "newt": 2})
    flags = f"{folders} --selection Uniform --epochs 1 --budget 4"
    assert "budget 4 gives none of the 1 samples of class 'newt'; at_least_one" in commands.main(flags).error
    answer = commands.main(f"{flags} --at_least_one")
    assert answer.status == 0, answer.err
    (file,) = commands.folder.glob("result/ImageFolder_MLP_Uniform_budget4_*/coreset.npz")
    assert sorted(Coreset.load(file).indices // 20) == [0, 0, 0, 1]
