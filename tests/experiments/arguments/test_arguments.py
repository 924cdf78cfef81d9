"""The command line: every flag, every published command, the help."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from command_lines import GROUPS, MEMBERS, read

from experiments.arguments import parse
from utils.config import OptimizerConfig, SchedulerConfig, SelectionConfig, TrainingConfig
from utils.coreset_size import CoresetSize
from utils.execution import ExecutionConfig

DEEPCORE = (
    "--fraction 0.5 --dataset CIFAR10 --data_path ~/datasets --num_exp 1 --workers 10 --optimizer SGD -se 10 "
    "--selection Glister --model ResNet18 --lr 0.1 -sp ./result --batch 128 --scheduler CosineAnnealingLR"
)
PAPER = (
    "--model ResNet18 -se 10 --optimizer SGD --lr 0.1 --batch 128 --selection Submodular --submodular "
    "FacilityLocation --submodular_greedy NaiveGreedy --backpack True --kernel worst --eps 0.01"
)


def sizes(**amounts: list[float]) -> tuple[CoresetSize, ...]:
    return tuple(CoresetSize(unit, amount) for unit, of_unit in amounts.items() for amount in of_unit)


# Every flag with its aliases, the value that it sets, its default, and one other value as text and as value.
TABLE = [
    ("--dataset", "data.dataset", "CIFAR10", "permutedmnist", "permutedMNIST"),
    ("--data_path", "data.data_path", "data", "./some/where", "some/where"),
    ("--im_size", "data.im_size", None, "48", 48),
    ("--val", "data.val", False, "T", True),
    ("--val True --val_ratio", "data.val_ratio", 0.2, "0.25", 0.25),
    ("--label_noise", "data.label_noise", None, "0.2", 0.2),
    ("--dataset ImageFolder --background", "data.background", None, "Black", "#000000"),
    ("--model", "model", "ResNet18", "convnet", "ConvNet"),
    ("--cross", "cross", (), "vgg16 MLP VGG16", ("VGG16", "MLP")),
    ("--selection", "selection.method", "LCMat", "uniform", "Uniform"),
    ("--fraction", "sizes", sizes(fraction=[0.1]), "0.5 0.01 0.50", sizes(fraction=[0.5, 0.01])),
    ("--budget", "sizes", sizes(fraction=[0.1]), "50 7", sizes(budget=[50, 7])),
    ("--ipc", "sizes", sizes(fraction=[0.1]), "1 10", sizes(ipc=[1, 10])),
    ("--at_least_one", "sizes", sizes(fraction=[0.1]), "T", (CoresetSize("fraction", 0.1, True),)),
    ("--selection_model", "selection.model", "ResNet18", "LENET", "LeNet"),
    ("--coreset", "coresets", (), "a.npz b/c.npz", ("a.npz", "b/c.npz")),
    ("--balance", "selection.balance", True, "0", False),
    ("--prune", "selection.prune", None, "Hardest:0.20", "hardest:0.2"),
    ("--partitions", "selection.partitions", None, "10", "10"),
    ("--partitions", "selection.partitions", None, "Near:7", "near:7"),
    ("--partitions", "selection.partitions", None, "AUTO", "auto"),
    ("--selection CCS --score", "selection.score", "AUM", "forgetting", "Forgetting"),
    ("--selection CCS --beta", "selection.options.beta", 0.3, "0", 0.0),
    ("--selection CCS --strata", "selection.options.strata", 50, "9", 9),
    ("--selection D2 --neighbours", "selection.options.neighbours", 10, "5", 5),
    ("--selection D2 --gamma_f", "selection.options.gamma_f", 1.0, "0", 0.0),
    ("--selection D2 --gamma_r", "selection.options.gamma_r", 1.0, "0.5", 0.5),
    ("--selection Prototypicality --keep", "selection.options.keep", "hardest", "Easiest", "easiest"),
    ("--scoring", "selection.scoring", "temperature", "Class_Batches", "class_batches"),
    ("--temperature", "selection.temperature", "auto", "2.5", 2.5),
    ("--eps", "selection.options.eps", 0.05, "0.01", 0.01),
    ("--K", "selection.options.num_dims", 100, "7", 7),
    ("--weighted", "selection.options.weighted", False, "yes", True),
    ("--submodular_greedy", "selection.options.greedy", "LazyGreedy", "naivegreedy", "NaiveGreedy"),
    ("--selection Submodular --kernel", "selection.options.kernel", "cosine", "GRAD_L2", "grad_l2"),
    (
        "--selection Submodular --submodular",
        "selection.options.submodular",
        "GraphCut",
        "logdeterminant",
        "LogDeterminant",
    ),
    ("--selection Uncertainty --uncertainty", "selection.options.uncertainty", "Entropy", "margin", "Margin"),
    ("--selection EL2N --early_epochs", "selection.options.early_epochs", 10, "3", 3),
    ("--selection DynUnc --window", "selection.options.window", 10, "4", 4),
    ("--selection Cal --pretrained", "selection.options.pretrained", False, "y", True),
    ("--selection Glister --eta", "selection.options.eta", 0.1, "0.2", 0.2),
    ("--selection_epochs -se", "selection.proxy.epochs", 40, "3", 3),
    ("--selection_batch -sb", "selection.proxy.batch", 256, "32", 32),
    ("--selection_optimizer -so", "selection.proxy.optimizer.name", "SGD", "adamw", "AdamW"),
    ("--selection_lr -slr", "selection.proxy.optimizer.lr", 0.1, "1e-3", 1e-3),
    ("--selection_momentum -sm", "selection.proxy.optimizer.momentum", 0.9, "0.5", 0.5),
    ("--selection_weight_decay -swd", "selection.proxy.optimizer.weight_decay", 5e-4, "0", 0.0),
    ("--selection_nesterov -sn", "selection.proxy.optimizer.nesterov", True, "f", False),
    ("--selection_test_interval -sti", "execution.proxy_test_interval", 0, "3", 3),
    ("--selection_test_fraction -stf", "selection.proxy.test_fraction", 1.0, "0.5", 0.5),
    ("--optimizer", "training.optimizer.name", "SGD", "nadam", "NAdam"),
    ("--lr", "training.optimizer.lr", 0.1, ".01", 0.01),
    ("--min_lr", "training.scheduler.min_lr", 1e-4, "0", 0.0),
    ("--momentum", "training.optimizer.momentum", 0.9, "0.8", 0.8),
    ("--weight_decay -wd", "training.optimizer.weight_decay", 5e-4, "1e-2", 1e-2),
    ("--nesterov", "training.optimizer.nesterov", True, "No", False),
    ("--scheduler", "training.scheduler.name", "CosineAnnealingLR", "steplr", "StepLR"),
    ("--scheduler StepLR --gamma", "training.scheduler.gamma", 0.5, "0.1", 0.1),
    ("--scheduler StepLR --step_size", "training.scheduler.step_size", 50, "30", 30),
    ("--epochs", "training.epochs", 200, "1", 1),
    ("--batch --batch-size -b", "training.batch", 256, "64", 64),
    ("--batch --batch-size -b", "selection.proxy.batch", 256, "64", 64),
    ("--train_batch -tb", "training.batch", 256, "16", 16),
    ("--test_interval -ti", "training.test_interval", 1, "10", 10),
    ("--test_fraction -tf", "training.test_fraction", 1.0, "0.1", 0.1),
    ("--augmentation", "training.augmentation", "", "Color_crop", "color_crop"),
    ("--seed", "seeds", (0,), "7", (7,)),
    ("--num_exp", "seeds", (0,), "3", (0, 1, 2)),
    ("--num_eval", "num_eval", 1, "4", 4),
    ("--save_path -sp", "execution.save_path", "result", "a/b", "a/b"),
    ("--resume -r", "execution.resume", None, "result/run", "result/run"),
    ("--checkpoint_interval", "execution.checkpoint_interval", 10.0, "0", 0.0),
    ("--print_freq -p", "execution.print_freq", 100, "20", 20),
    ("--save_scores", "execution.save_scores", False, "1", True),
    ("--save_network", "execution.save_network", False, "yes", True),
    ("--select_only", "select_only", False, "t", True),
    ("--save_features", "execution.save_features", False, "1", True),
    ("--save_features", "execution.save_features", False, "a/b", "a/b"),
    ("--certificate", "execution.certificate", "auto", "NO", "no"),
    ("--after_analyses", "execution.after_analyses", False, "TRUE", True),
    ("--exact_analyses", "execution.exact_analyses", False, "Yes", True),
    ("--workers -j", "execution.workers", ExecutionConfig().workers, "0", 0),
    ("--data_on_device", "execution.data_on_device", "auto", "OFF", "off"),
    ("--memory_budget", "execution.memory_budget", None, "8GB", 8_000_000_000),
    ("--amp", "training.amp", False, "t", True),
    ("--amp", "selection.proxy.amp", False, "t", True),
    ("--compile", "training.compile", False, "t", True),
    ("--compile", "selection.proxy.compile", False, "t", True),
    ("--deterministic", "training.deterministic", False, "t", True),
    ("--deterministic", "selection.proxy.deterministic", False, "t", True),
    ("--profile", "execution.profile", False, "t", True),
]


def look_up(value: object, path: str) -> object:
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


@pytest.mark.parametrize(("flag", "path", "default", "text", "value"), TABLE)
def test_each_flag_has_its_default_its_aliases_and_its_place(flag, path, default, text, value):
    context, names = split(flag)
    assert look_up(read(context), path) == default
    for name in names:
        found = look_up(read(f"{context} {name} {text}"), path)
        assert found == value
        assert type(found) is type(value)


def split(flag: str) -> tuple[str, list[str]]:
    """``"--val True --val_ratio"`` → what must stand before, and the flag's names; the names stand last."""
    words = flag.split()
    own = next(names for names in (member.names.split() for member in MEMBERS) if words[-1] in names)
    first = words.index(own[0])
    assert words[first:] == own
    return " ".join(words[:first]), own


@pytest.mark.parametrize(
    ("line", "augment", "augmentation"),
    [
        ("--dataset ImageFolder", True, "random_crop_flip"),
        ("--dataset ImageFolder --im_size 64", True, "random_crop_flip"),
        ("--dataset ImageFolder --im_size 65", True, "random_resized_crop_flip"),
        ("--dataset ImageFolder --augmentation none", False, ""),
        ("--dataset ImageFolder --augmentation Resized_Crop_Flip", True, "random_resized_crop_flip"),
        ("--dataset ImageFolder --augmentation color_flip", True, "color_flip"),
        ("--dataset Digits", True, ""),
        ("--dataset Digits --augmentation crop_flip", True, "random_crop_flip"),
        ("--dataset CIFAR10 --augmentation crop_flip", True, ""),  # which is its own
        ("--dataset ImageNet --augmentation resized_crop_flip", True, ""),
        ("--dataset ImageNet --augmentation crop_flip", True, "random_crop_flip"),
    ],
)
def test_any_data_set_can_be_augmented_by_crop_and_flip(line: str, augment: bool, augmentation: str):
    training = read(line).training
    assert (training.augment, training.augmentation) == (augment, augmentation)


def test_the_cpu_can_be_asked_for_and_default_workers_do_not_exceed_the_cores():
    assert read("--gpu CPU").execution.gpu == ("cpu",)
    assert 1 <= read().execution.workers <= min(4, len(os.sched_getaffinity(0)))


def test_the_table_misses_no_flag():
    tabled = {name for row in TABLE for name in split(row[0])[1]}
    assert {name for member in MEMBERS for name in member.names.split()} - tabled == {
        "--backpack",
        "--features",
        "--gpu",
        "--proxy",
        "--released",
        "--scores",
    }


@pytest.mark.parametrize("text", ["yes", "true", "t", "y", "1", "YES", "True", "T", "Y", ""])
def test_yes_in_every_spelling_and_bare(text):
    assert read(f"--balance {text}").selection.balance is True
    assert read(f"--val {text} --seed 3").data.val is True


@pytest.mark.parametrize("text", ["no", "false", "f", "n", "0", "No", "FALSE", "F", "N"])
def test_no_in_every_spelling(text):
    assert read(f"--balance {text}").selection.balance is False


def test_the_published_deepcore_command(capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    found = read(DEEPCORE)
    assert capsys.readouterr() == ("", "")
    assert found.sizes == sizes(fraction=[0.5])
    assert found.data.data_path == "/home/someone/datasets"
    assert found.selection.method == "Glister"
    assert found.selection.model == "ResNet18"
    assert found.selection.options == {"greedy": "LazyGreedy", "eta": 0.1}
    assert (found.selection.proxy.epochs, found.selection.proxy.batch) == (10, 128)
    assert found.training == TrainingConfig(batch=128)
    assert (found.execution.workers, found.execution.save_path) == (10, "result")


def test_the_paper_recipe_is_lcmat_by_its_name(capsys):
    found = read(PAPER)
    notes = capsys.readouterr().err.splitlines()
    assert notes == ["note: --backpack is not needed: curvature has a closed form here"]
    named = read("--selection lcmat --eps 0.01 --batch 128 -se 10 --submodular_greedy NaiveGreedy")
    assert replace(found, given=frozenset()) == replace(named, given=frozenset())
    assert found.selection.options == {
        "eps": 0.01,
        "num_dims": 100,
        "greedy": "NaiveGreedy",
        "weighted": False,
    }


@pytest.mark.parametrize(
    "line", ["", "--submodular FacilityLocation", "--kernel grad_l2 --submodular FacilityLocation"]
)
def test_other_submodular_settings_keep_their_name(line):
    assert read(f"--selection Submodular {line}").selection.method == "Submodular"


def test_graph_cut_on_lcmats_distance_has_a_name_of_its_own():
    named = read("--selection LCMatGC --eps 0.01")
    assert read("--selection Submodular --kernel worst --eps 0.01").selection == named.selection
    assert named.selection.scoring == "temperature"


@pytest.mark.parametrize(
    ("line", "scoring", "temperature"),
    [
        ("--selection LCMat", "temperature", "auto"),
        ("--selection LCMat --scoring evaluation", "evaluation", None),
        ("--selection LCMat --released", "class_batches", None),
        ("--selection Craig", "evaluation", None),
        ("--selection Craig --temperature 3", "temperature", 3.0),
        ("--selection GraNd --scoring class_batches", "class_batches", None),
        ("--selection Uniform", "evaluation", None),
        ("--selection kCenterGreedy --pretrained", "evaluation", None),
    ],
)
def test_where_the_loss_is_looked_at(line, scoring, temperature):
    selection = read(line).selection
    assert (selection.scoring, selection.temperature) == (scoring, temperature)


def test_released_is_recorded_where_it_is_asked_for():
    assert "released" not in read("--selection LCMat").selection.options
    assert read("--selection LCMat --released").selection.options["released"] is True


def test_adacore_by_another_name(capsys):
    spelled = read("--selection Submodular --submodular FacilityLocation --kernel adacore --weighted")
    assert capsys.readouterr().err == ""
    assert spelled.selection == read("--selection AdaCore --weighted").selection


def test_the_proxy_is_trained_on_its_own_terms():
    proxy = read("-se 7 -sb 31 -so Adam -slr 0.01 -swd 0 --epochs 3 --lr 0.5 --nesterov no").selection.proxy
    assert proxy == TrainingConfig(
        epochs=7,
        batch=31,
        optimizer=OptimizerConfig("Adam", lr=0.01, weight_decay=0.0),
        scheduler=None,
        augment=False,
    )


@pytest.mark.parametrize("line", ["--selection Uniform", "--selection Full", "--selection kCenterGreedy --pretrained"])
def test_no_proxy_where_none_is_needed(line):
    selection = read(line).selection
    assert (selection.model, selection.proxy) == (None, None)


def test_pretrained_embeddings_do_not_spare_cal_its_proxy():
    selection = read("--selection Cal --pretrained").selection
    assert selection.proxy is not None
    assert selection.options == {"pretrained": True}


def test_full_is_the_whole_set():
    assert read("--selection Full --fraction 0.1 --balance no").sizes == sizes(fraction=[1.0])
    assert read("--selection Full --balance no").selection == read("--selection Full").selection


def test_sizes_of_all_kinds_go_together():
    found = read("--ipc 10 --fraction 0.2 0.1 --budget 50 --at_least_one")
    assert found.sizes == (
        CoresetSize("fraction", 0.2, True),
        CoresetSize("fraction", 0.1, True),
        CoresetSize("budget", 50, True),
        CoresetSize("ipc", 10),
    )


@pytest.mark.parametrize("line", ["--balance no", "--ipc 5", "--selection Full", "--coreset a.npz"])
def test_at_least_one_is_named_where_it_has_no_part(line, capsys):
    sizes = read(f"{line} --at_least_one").sizes
    assert "--coreset" in line or not any(size.at_least_one for size in sizes)
    assert "note: --at_least_one is not used" in capsys.readouterr().err


def test_a_saved_coreset_needs_no_selection():
    assert read("--coreset a.npz --eps 3").selection == SelectionConfig("LCMat")


def test_scheduler_none_and_unused_fields():
    assert read("--scheduler None").training.scheduler is None
    assert read("--scheduler StepLR --step_size 3").training.scheduler == SchedulerConfig("StepLR", step_size=3)


def test_seeds_count_up_from_the_first():
    assert read("--seed 5 --num_exp 3").seeds == (5, 6, 7)


def test_given_flags_are_known_by_their_names():
    assert read("-tb 3 --selection Uniform --val").given == {"train_batch", "selection", "val"}
    assert read().given == frozenset()


def test_the_default_cross_networks_are_the_entry_script_s():
    own = ("VGG16", "ResNet18")
    assert parse([], program="x", cross=own).cross == ("VGG16",)
    assert parse(["--cross", "MLP"], program="x", cross=own).cross == ("MLP",)


def test_help_shows_every_flag_in_its_group_within_100_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as stopped:
        read("--help")
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    sections = dict(zip(GROUPS, text.split("options:")[1].split("\n\n")[1:], strict=True))
    for title, members in GROUPS.items():
        assert sections[title].startswith(f"{title}:\n")
        for flag in members:
            assert f"  {', '.join(flag.names.split())} {flag.metavar}" in sections[title]


def test_each_flag_is_explained_in_its_own_words():
    for flag in MEMBERS:
        twins = {flag.name, f"selection_{flag.name}", flag.name.removeprefix("selection_")}
        assert len(flag.help) > 10
        assert flag.help not in {other.help for other in MEMBERS if other.name not in twins}


def test_features_from_a_file_stand_in_for_the_proxy(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"features")
    (tmp_path / "b.npz").write_bytes(b"others")
    first, second = (read(f"--features {tmp_path / name}") for name in ("a.npz", "b.npz"))
    assert (first.selection.model, first.selection.proxy) == (None, None)
    assert first.execution.features == str(tmp_path / "a.npz")
    assert first.selection.features != second.selection.features
    assert read("").selection.features is None


def test_tinyimagenet_is_shrunk_as_in_the_authors_code_unless_a_size_is_given():
    shrunk, own = (read(f"--dataset TinyImageNet {size}") for size in ("", "--im_size 64"))
    assert (shrunk.data.im_size, own.data.im_size, read("").data.im_size) == (32, 64, None)
    before = replace(shrunk.run(shrunk.sizes[0], 0), data=replace(shrunk.data, im_size=None))
    assert len({before.name(), shrunk.run(shrunk.sizes[0], 0).name(), own.run(own.sizes[0], 0).name()}) == 3
