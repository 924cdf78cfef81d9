"""The main job from the command line to the table."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from commands import FAST, Commands

import nets
from methods import Coreset
from utils.config import DataConfig
from utils.data.fingerprint import identified
from utils.data.load import load_data
from utils.files import read_npz
from utils.notes import note_once
from utils.records.export import main as export
from utils.seeding import seed_torch


def summary_of(commands: Commands, pattern: str, save_path: str = "result") -> dict:
    (folder,) = commands.runs(pattern, save_path)
    return json.loads((folder / "summary.json").read_text())


def coreset_of(commands: Commands, pattern: str, save_path: str = "result") -> Coreset:
    (folder,) = commands.runs(pattern, save_path)
    return Coreset.load(folder / "coreset.npz")


def test_a_run_records_what_the_contract_names(commands):
    answer = commands.main(f"{FAST} --selection LCMat --fraction 0.05")
    assert answer.status == 0
    assert "| Digits" in answer.out
    (folder,) = commands.runs()
    assert folder.name.startswith("Digits_MLP_LCMat_f0.05_s0_")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"] is True
    assert {summary[name] for name in ("dataset", "model", "selection")} == {"Digits", "MLP", "LCMat"}
    assert set(summary["seconds"]) == {"proxy", "features", "selection", "training"}
    assert all(summary["seconds"].values())
    assert set(summary["images_per_second"]) == {"proxy", "features", "training"}
    assert summary["peak_memory_bytes"] > 1e6
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["test_accuracy"]) == summary["final_accuracy"]
    config = json.loads((folder / "config.json").read_text())
    assert config["run"]["selection"]["options"]["eps"] == 0.05
    assert torch.__version__.startswith(config["versions"]["torch"])
    data = load_data(DataConfig("Digits"))
    coreset = Coreset.load(folder / "coreset.npz")
    picked = data.train.labels[torch.tensor(coreset.indices)].bincount()
    shares = 0.05 * data.train.labels.bincount()
    assert ((picked - shares).abs() < 1).all()
    assert len(coreset) == round(0.05 * len(data.train))
    assert summary["coreset_size"] == len(coreset)
    assert not (folder / "checkpoint.pt").exists()


def test_the_summary_has_the_accuracy_of_each_class_and_of_the_top_five(commands):
    commands.main(f"{FAST} --selection Uniform --fraction 0.05")
    commands.cross(f"{FAST} --cross ConvNet --epochs 1")
    counts = load_data(DataConfig("Digits")).test.labels.bincount().tolist()
    for pattern in ("Digits_MLP_Uniform_f0.05_s0_*", "Digits_ConvNet_*"):
        for folder in commands.runs(pattern):
            summary = json.loads((folder / "summary.json").read_text())
            by_class = summary["class_accuracy"]
            assert list(by_class) == [str(digit) for digit in range(10)]
            correct = sum(count * each / 100 for count, each in zip(counts, by_class.values(), strict=True))
            assert 100 * correct / sum(counts) == pytest.approx(summary["final_accuracy"])
            assert summary["final_accuracy"] < summary["top5_accuracy"] <= 100


def test_cold_and_warm_caches_and_other_folders_give_the_same(commands):
    flags = f"{FAST} --selection LCMat --fraction 0.05 --seed 3"
    commands.main(flags, "cold")
    commands.main(f"{flags} --cross ConvNet --model ConvNet --selection_model MLP --epochs 1", "warm")
    answer = commands.main(flags, "warm")
    assert answer.status == 0
    assert "proxy" not in answer.err
    cold, warm = (coreset_of(commands, "Digits_MLP_*", name) for name in ("cold", "warm"))
    assert np.array_equal(cold.indices, warm.indices)
    first, second = (summary_of(commands, "Digits_MLP_*", name) for name in ("cold", "warm"))
    assert first["final_accuracy"] == second["final_accuracy"]
    assert first["seconds"]["proxy"] > 0
    assert second["seconds"]["proxy"] > 0


def test_fractions_share_one_proxy_and_are_nested(commands):
    answer = commands.main(f"{FAST} --fraction 0.02 0.2 0.05 --num_exp 2")
    assert answer.status == 0
    assert len(commands.runs()) == 6
    assert len(list((commands.folder / "result" / "proxies").glob("*.pt"))) == 2
    sets = [set(coreset_of(commands, f"*_f{fraction}_s1_*").indices) for fraction in ("0.02", "0.05", "0.2")]
    assert sets[0] < sets[1] < sets[2]
    alone = commands.main(f"{FAST} --fraction 0.05 --seed 1", "alone")
    assert alone.status == 0
    together = coreset_of(commands, "*_f0.05_s1_*")
    assert np.array_equal(together.indices, coreset_of(commands, "*", "alone").indices)


def test_label_noise_is_seeded_recorded_and_counted(commands):
    answer = commands.main(f"{FAST} --epochs 1 --selection Uniform --fraction 0.1 --label_noise 0.3 --num_exp 2")
    assert answer.status == 0
    assert "wrong labels (%)" in answer.out
    for seed in (0, 1):
        (folder,) = commands.runs(f"*_s{seed}_*")
        noise = json.loads((folder / "config.json").read_text())["run"]["data"]["label_noise"]
        data = load_data(DataConfig("Digits", label_noise=noise), seed=seed)
        wrong = data.wrong[torch.tensor(coreset_of(commands, f"*_s{seed}_*").indices)]
        assert 15 < summary_of(commands, f"*_s{seed}_*")["wrong_labels"] < 45
        assert summary_of(commands, f"*_s{seed}_*")["wrong_labels"] == 100 * float(wrong.double().mean())


@pytest.mark.parametrize("method", ["EL2N", "GraNd"])
def test_scores_at_initialisation_are_those_of_untrained_networks(commands, method):
    assert commands.main(f"{FAST} --epochs 1 --selection {method} -se 0 --fraction 0.05 --balance no").status == 0
    data = load_data(DataConfig("Digits"))
    y = data.train.labels
    x = (data.train.images / 255 - data.spec.mean[0]) / data.spec.std[0]
    scores = 0
    for repeat in range(10 if method == "GraNd" else 1):
        seed_torch(0, f"proxy {repeat}", "network")
        network = nets.build("MLP", 1, 10, 8).eval()
        errors = (network(x).softmax(dim=1) - torch.nn.functional.one_hot(y, 10)).norm(dim=1)
        lengths = (1 + network.embed(x).square().sum(dim=1)).sqrt() if method == "GraNd" else 1
        scores = scores + (errors * lengths).detach()
    expected = scores.argsort(descending=True)[: round(0.05 * len(y))]
    assert coreset_of(commands, "*").indices.tolist() == expected.tolist()


def test_scores_leave_as_a_file_and_select_the_same_from_it(commands, tmp_path):
    pruned = f"{FAST} --epochs 1 --fraction 0.05 --selection Uniform --prune hardest:0.2"
    assert commands.main(pruned).status == 0
    (folder,) = commands.runs()
    for suffix in ("csv", "npz"):
        file = tmp_path / f"scores.{suffix}"
        export([str(folder), "--format", "scores", "--output", str(file)])
        assert "--score names one of" in commands.main(f"{pruned} --scores {file}", suffix).error
        assert commands.main(f"{pruned} --scores {file} --score AUM", suffix).status == 0
        assert not (commands.folder / suffix / "proxies").exists()
        (again,) = (commands.folder / suffix).glob("*/coreset.npz")
        assert Coreset.load(again).indices.tolist() == coreset_of(commands, "*").indices.tolist()
    assert commands.main(f"{FAST} --epochs 1 --fraction 0.05 --selection AUM --scores {file}", "ranked").status == 0
    aum = read_npz(file)["AUM"]
    (picked,) = (coreset_of(commands, "*AUM*", "ranked").indices,)
    labels = load_data(DataConfig("Digits")).train.labels.numpy()
    ninth = picked[labels[picked] == 9]
    assert sorted(ninth) == sorted(np.flatnonzero(labels == 9)[np.argsort(aum[labels == 9])[: len(ninth)]])


def test_a_finished_run_is_given_its_scores_afterwards(commands):
    flags = f"{FAST} --epochs 1 --fraction 0.05 --selection LCMat"
    assert commands.main(flags).status == 0
    (folder,) = commands.runs()
    assert not (folder / "scores.npz").exists()
    assert commands.main(f"{flags} --save_scores").status == 0
    scores = read_npz(folder / "scores.npz")
    assert str(scores.pop("train_images")) == identified(DataConfig("Digits")).train_images
    assert {"indices", "labels", "EL2N", "AUM", "Loss", "Confidence", "DynUnc", "Forgetting"} == scores.keys()
    assert len({len(values) for values in scores.values()}) == 1


def test_budgets_of_every_kind_share_a_selection_and_show_in_names_tables_and_summaries(commands):
    answer = commands.main(f"{FAST} --epochs 1 --selection Uniform --budget 30 100 --ipc 10 --fraction 0.05")
    assert answer.status == 0
    (each,) = commands.runs("Digits_MLP_Uniform_ipc10_s0_*")
    sizes = {folder.name.split("_")[3]: Coreset.load(folder / "coreset.npz") for folder in commands.runs()}
    assert {tag: len(coreset) for tag, coreset in sizes.items()} == {
        "budget30": 30,
        "budget100": 100,
        "ipc10": 100,
        "f0.05": 72,
    }
    labels = load_data(DataConfig("Digits")).train.labels
    assert labels[torch.tensor(sizes["ipc10"].indices)].bincount().tolist() == [10] * 10
    assert set(sizes["budget30"].indices) < set(sizes["f0.05"].indices) < set(sizes["budget100"].indices)
    summary = json.loads((each / "summary.json").read_text())
    assert [summary[name] for name in ("fraction", "budget", "ipc")] == [0.069541, None, 10]
    lines = [line for line in answer.out.splitlines() if line.startswith("| Digits")]
    assert [[cell.strip() for cell in line.split("|")[4:7]] for line in lines] == [
        ["budget=30", "0.020862", "30"],
        ["", "0.05", "72"],
        ["budget=100", "0.069541", "100"],
        ["ipc=10", "0.069541", "100"],
    ]


def test_a_run_of_a_budget_is_resumed_and_found_by_it(commands):
    flags = f"{FAST} --epochs 1 --selection Uniform"
    commands.main(f"{flags} --budget 40")
    (folder,) = commands.runs()
    whole = (folder / "coreset.npz").read_bytes()
    for name in ("summary.json", "coreset.npz"):
        (folder / name).unlink()
    assert commands.main(f"--resume {folder}").status == 0
    assert (folder / "coreset.npz").read_bytes() == whole
    assert commands.cross(f"{flags} --budget 40 --cross LeNet").status == 0
    assert len(commands.runs("Digits_LeNet_Uniform_budget40_*")) == 1
    assert "--selection Uniform --budget 40" in commands.cross(f"{flags} --budget 41 --cross LeNet").error


def test_the_originals_spelling_is_lcmat(commands):
    commands.main(f"{FAST} --fraction 0.05 --eps 0.01 --selection LCMat --submodular_greedy NaiveGreedy")
    spelled = (
        "--selection Submodular --submodular FacilityLocation --submodular_greedy NaiveGreedy --backpack True "
        "--kernel worst --eps 0.01"
    )
    commands.main(f"{FAST} --fraction 0.05 {spelled}")
    assert len(commands.runs()) == 1


def test_finished_runs_are_kept(commands, monkeypatch):
    flags = f"{FAST} --selection Uniform --fraction 0.05"
    commands.main(flags)
    (folder,) = commands.runs()
    before = (folder / "summary.json").stat().st_mtime_ns
    monkeypatch.setattr("experiments.data.load_once", None)  # nothing is loaded for what is finished
    assert commands.main(flags).status == 0
    assert (folder / "summary.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "selection", "size"),
    [
        ("--selection Full", "Full", 1438),
        ("--selection LCMat --balance false --fraction 0.05", "LCMat", 72),
        ("--selection Uniform --fraction 0.05 --balance 0", "Uniform", 72),
        ("--selection GradMatch --fraction 0.05 --val true", "GradMatch", None),
        ("--selection Glister --fraction 0.05 --val true", "Glister", None),
        ("--selection Forgetting --fraction 0.05", "Forgetting", None),
        ("--selection Craig --fraction 0.05 0.1", "Craig", None),
        ("--selection LCMat --weighted true --fraction 0.05", "LCMat", None),
        ("--selection DeepFool --fraction 0.01", "DeepFool", None),
        ("--selection AdaCore --fraction 0.05", "AdaCore", None),
    ],
)
def test_methods_run_from_the_command_line(commands, flags, selection, size):
    answer = commands.main(f"{FAST} --epochs 1 {flags}")
    assert answer.status == 0, answer.err
    for folder in commands.runs():
        coreset = Coreset.load(folder / "coreset.npz")
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["selection"] == selection
        assert len(coreset) == summary["coreset_size"]
        if size is not None:
            assert abs(len(coreset) - size) <= 1
        if selection == "Craig":
            assert coreset.weights.sum() == pytest.approx(len(load_data(DataConfig("Digits")).train))


def test_grand_trains_ten_networks_and_caches_them(commands):
    flags = f"{FAST} --epochs 1 -se 1 --selection GraNd --fraction 0.05"
    assert commands.main(flags).status == 0
    assert len(list((commands.folder / "result" / "proxies").glob("*.pt"))) == 10
    answer = commands.main(f"{flags} --fraction 0.1")
    assert answer.status == 0
    assert "proxy" not in answer.err


def test_forgetting_is_the_same_from_a_cached_proxy(commands):
    commands.main(f"{FAST} --epochs 1 --selection LCMat --fraction 0.05", "shared")
    commands.main(f"{FAST} --epochs 1 --selection Forgetting --fraction 0.05", "shared")
    commands.main(f"{FAST} --epochs 1 --selection Forgetting --fraction 0.05", "alone")
    shared, alone = (coreset_of(commands, "*Forgetting*", name) for name in ("shared", "alone"))
    assert np.array_equal(shared.indices, alone.indices)


def test_several_retrainings_and_networks_on_one_coreset(commands):
    answer = commands.main(
        f"{FAST} --epochs 1 --fraction 0.05 --num_eval 2 --cross ConvNet MLP --selection_model ConvNet"
    )
    assert answer.status == 0
    assert len(commands.runs("*_MLP_*")) == len(commands.runs("*_ConvNet_*")) == 2
    coresets = {tuple(Coreset.load(folder / "coreset.npz").indices) for folder in commands.runs()}
    assert len(coresets) == 1


def test_a_coreset_from_elsewhere_is_trained_on(commands, tmp_path):
    np.savez(tmp_path / "mine.npz", indices=np.arange(0, 1000, 10))
    answer = commands.main(f"{FAST} --coreset {tmp_path / 'mine.npz'}")
    assert answer.status == 0
    assert "mine" in answer.out
    assert np.array_equal(coreset_of(commands, "Digits_MLP_mine_*").indices, np.arange(0, 1000, 10))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"indices": np.array([0, 5000])}, "only 1"),
        ({"indices": np.array([1, 1])}, "unique"),
        ({"indices": np.array([-1])}, "start at 0"),
        ({"picks": np.array([1])}, "no array 'indices'"),
        ({"indices": np.zeros(0, dtype=np.int64)}, "holds no indices"),
        ({"indices": np.array([1, 2]), "weights": np.array([1.0, np.nan])}, "weights"),
    ],
)
def test_a_coreset_that_does_not_fit_is_refused(commands, tmp_path, arrays, said):
    np.savez(tmp_path / "c.npz", **arrays)
    assert said in commands.main(f"{FAST} --coreset {tmp_path / 'c.npz'}").error
    assert not commands.runs()


def test_features_are_saved_and_selected_by(commands):
    flags = f"{FAST} --epochs 1 --fraction 0.05"
    assert commands.main(f"{flags} --save_features").status == 0
    (file,) = (commands.folder / "result" / "features").glob("*.npz")
    answer = commands.main(f"{flags} --features {file}", "again")
    assert answer.status == 0
    assert not (commands.folder / "again" / "proxies").exists()
    assert np.array_equal(coreset_of(commands, "*").indices, coreset_of(commands, "*", "again").indices)
    refused = commands.main(f"{flags} --features {file} --selection GraNd", "again")
    assert "leave --features out" in refused.error


@pytest.mark.parametrize("scoring", ["temperature", "class_batches"])
def test_features_in_shards_are_selected_by_as_those_in_memory(commands, monkeypatch, scoring):
    monkeypatch.setattr("experiments.feature_store._SHARD", 500)
    flags = f"{FAST} --epochs 1 --fraction 0.05 --scoring {scoring}"
    assert commands.main(flags).status == 0
    folder = commands.folder / "features"
    assert commands.main(f"{flags} --save_features {folder}", "shards").status == 0
    (shards,) = (path for path in folder.iterdir() if path.is_dir())
    assert len(list(shards.glob("embeddings-*.npy"))) > 1
    saved = [coreset_of(commands, "*", *where).indices for where in ([], ["shards"])]
    assert np.array_equal(*saved)
    if scoring == "temperature":
        assert commands.main(f"{flags} --features {shards}", "read").status == 0
        assert np.array_equal(coreset_of(commands, "*", "read").indices, saved[0])


def test_a_selection_in_parts_says_what_it_came_to(commands):
    answer = commands.main(f"{FAST} --epochs 1 --fraction 0.05 --partitions 4 --balance no")
    assert answer.status == 0
    coreset = coreset_of(commands, "*")
    (record,) = coreset.partitioned
    assert record.parts == 4
    assert record.ratio > 0.99
    assert f"partitions: {record}" in answer.out
    told = commands.main(f"{FAST} --epochs 1 --fraction 0.05 --selection Uniform --partitions 4", "told")
    assert "note: --partitions is for greedy facility location, which Uniform does not do here" in told.err


@pytest.mark.parametrize(
    ("part", "method", "other", "names"),
    [
        ("embeddings", "Herding", "LCMat", "Herding, kCenterGreedy, Moderate, D2, Prototypicality do without"),
        ("logits", "Uncertainty", "Craig", "ContextualDiversity, Uncertainty do without"),
    ],
)
def test_a_file_of_embeddings_or_logits_alone_is_selected_by(commands, tmp_path, part, method, other, names):
    note_once.cache_clear()
    flags = f"{FAST} --epochs 1 --fraction 0.05 --certificate yes"
    assert commands.main(f"{flags} --selection {method} --save_features").status == 0
    (file,) = (commands.folder / "result" / "features").glob("*.npz")
    arrays = read_npz(file)
    np.savez(tmp_path / "part.npz", **{name: arrays[name] for name in (part, "labels", "indices", "train_images")})
    flags += f" --features {tmp_path / 'part.npz'}"
    answer = commands.main(f"{flags} --selection {method}", "again")
    assert answer.status == 0
    assert "note: no certificate was measured: it takes embeddings and logits" in answer.err
    found = coreset_of(commands, "*", "again")
    assert found.certified is None
    assert np.array_equal(coreset_of(commands, "*").indices, found.indices)
    missing = {"embeddings": "logits", "logits": "embeddings"}[part]
    refused = commands.main(f"{flags} --selection {other}", "refused")
    assert refused.error == f"error: {tmp_path / 'part.npz'}: {other} needs {missing}; none were given; {names}"
    np.savez(tmp_path / "part.npz", labels=arrays["labels"])
    refused = commands.main(f"{flags} --selection {other}", "refused")
    assert "must hold labels and embeddings, logits or both; it holds labels" in refused.error


def test_landscape_gaps_are_written_where_asked(commands):
    answer = commands.main(f"{FAST} --epochs 1 --selection Uniform --fraction 0.05 --exact_analyses")
    assert answer.status == 0
    (folder,) = commands.runs()
    gaps = json.loads((folder / "analyses.json").read_text())
    assert set(gaps) == {"last layer", "all layers"}
    assert gaps["all layers"]["gradient"] >= gaps["last layer"]["gradient"] > 0


def test_a_diverging_run_is_failed_and_not_averaged(commands):
    answer = commands.main(f"{FAST} --selection Uniform --fraction 0.05 --lr 1e20")
    assert "try a smaller --lr" in answer.error
    (folder,) = commands.runs()
    assert json.loads((folder / "summary.json").read_text())["complete"] is False
