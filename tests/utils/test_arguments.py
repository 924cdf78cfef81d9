"""The command line: every flag, every published command, every way to get it wrong."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.arguments import Choices, Condition, MethodInfo, Spelling, parse
from utils.arguments.flags import flags
from utils.config import OptimizerConfig, SchedulerConfig, SelectionConfig, Settings, TrainingConfig
from utils.errors import UserError

CURVATURE = ("eps", "num_dims", "greedy", "weighted")
METHODS = (
    MethodInfo("LCMat", CURVATURE),
    MethodInfo("AdaCore", ("greedy", "weighted")),
    MethodInfo("Uniform", needs_proxy=False),
    MethodInfo("Full", needs_proxy=False, whole=True),
    MethodInfo("Uncertainty", ("uncertainty",)),
    MethodInfo("Glister", ("greedy", "lr")),
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
DEEPCORE = (
    "--fraction 0.5 --dataset CIFAR10 --data_path ~/datasets --num_exp 1 --workers 10 --optimizer SGD -se 10 "
    "--selection Glister --model ResNet18 --lr 0.1 -sp ./result --batch 128 --scheduler CosineAnnealingLR"
)
PAPER = (
    "--model ResNet18 -se 10 --optimizer SGD --lr 0.1 --batch 128 --selection Submodular --submodular "
    "FacilityLocation --submodular_greedy NaiveGreedy --backpack True --kernel worst --eps 0.01"
)


def read(line: str = "") -> Settings:
    return parse(shlex.split(line), program="main.py", choices=CHOICES)


def notes(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    read(line)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


# Every flag with its aliases, the value that it sets, its default, and one other value as text and as value.
TABLE = [
    ("--dataset", "data.dataset", "CIFAR10", "permutedmnist", "permutedMNIST"),
    ("--data_path", "data.data_path", "data", "./some/where", "some/where"),
    ("--im_size", "data.im_size", None, "48", 48),
    ("--val", "data.val", False, "T", True),
    ("--val True --val_ratio", "data.val_ratio", 0.2, "0.25", 0.25),
    ("--model", "model", "ResNet18", "convnet", "ConvNet"),
    ("--cross", "cross", (), "vgg16 MLP VGG16", ("VGG16", "MLP")),
    ("--selection", "selection.method", "LCMat", "uniform", "Uniform"),
    ("--fraction", "fractions", (0.1,), "0.5 0.01 0.50", (0.5, 0.01)),
    ("--selection_model", "selection.model", "ResNet18", "LENET", "LeNet"),
    ("--coreset", "coresets", (), "a.npz b/c.npz", ("a.npz", "b/c.npz")),
    ("--balance", "selection.balance", True, "0", False),
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
    ("--selection Cal --pretrained", "selection.options.pretrained", False, "y", True),
    ("--selection Glister --lr", "selection.options.lr", 0.1, "0.2", 0.2),
    ("--selection_epochs -se", "selection.proxy.epochs", 40, "3", 3),
    ("--selection_batch -sb", "selection.proxy.batch", 256, "32", 32),
    ("--selection_optimizer -so", "selection.proxy.optimizer.name", "SGD", "adamw", "AdamW"),
    ("--selection_lr -slr", "selection.proxy.optimizer.lr", 0.1, "1e-3", 1e-3),
    ("--selection_momentum -sm", "selection.proxy.optimizer.momentum", 0.9, "0.5", 0.5),
    ("--selection_weight_decay -swd", "selection.proxy.optimizer.weight_decay", 5e-4, "0", 0.0),
    ("--selection_nesterov -sn", "selection.proxy.optimizer.nesterov", True, "f", False),
    ("--selection_test_interval -sti", "selection.proxy.test_interval", 1, "0", 0),
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
    ("--seed", "seeds", (0,), "7", (7,)),
    ("--num_exp", "seeds", (0,), "3", (0, 1, 2)),
    ("--num_eval", "num_eval", 1, "4", 4),
    ("--save_path -sp", "execution.save_path", "result", "a/b", "a/b"),
    ("--resume -r", "execution.resume", None, "result/run", "result/run"),
    ("--checkpoint_interval", "execution.checkpoint_interval", 10.0, "0", 0.0),
    ("--print_freq -p", "execution.print_freq", 100, "20", 20),
    ("--save_features", "execution.save_features", False, "1", True),
    ("--after_analyses", "execution.after_analyses", False, "TRUE", True),
    ("--exact_analyses", "execution.exact_analyses", False, "Yes", True),
    ("--workers -j", "execution.workers", 4, "0", 0),
    ("--data_on_device", "execution.data_on_device", "auto", "OFF", "off"),
    ("--memory_budget", "execution.memory_budget", None, "8GB", 8_000_000_000),
    ("--amp", "training.amp", False, "t", True),
    ("--amp", "selection.proxy.amp", False, "t", True),
    ("--compile", "training.compile", False, "t", True),
    ("--compile", "selection.proxy.compile", False, "t", True),
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
    members = [member for group in flags(CHOICES).values() for member in group]
    own = next(names for names in (member.names.split() for member in members) if words[-1] in names)
    first = words.index(own[0])
    assert words[first:] == own
    return " ".join(words[:first]), own


def test_the_table_misses_no_flag():
    members = [flag for group in flags(CHOICES).values() for flag in group]
    tabled = {name for row in TABLE for name in split(row[0])[1]}
    assert {name for member in members for name in member.names.split()} - tabled == {"--backpack", "--gpu"}


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
    assert found.fractions == (0.5,)
    assert found.data.data_path == "/home/someone/datasets"
    assert found.selection.method == "Glister"
    assert found.selection.model == "ResNet18"
    assert found.selection.options == {"greedy": "LazyGreedy", "lr": 0.1}
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
    "line", ["--kernel worst", "--submodular FacilityLocation", "--kernel adacore --submodular FacilityLocation"]
)
def test_other_submodular_settings_keep_their_name(line):
    assert read(f"--selection Submodular {line}").selection.method == "Submodular"


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
    assert read("--selection Full --fraction 0.1 --balance no").fractions == (1.0,)
    assert read("--selection Full --balance no").selection == read("--selection Full").selection


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
    choices = replace(CHOICES, cross=("VGG16", "ResNet18"))
    found = parse([], program="cross_network_generalization.py", choices=choices)
    assert found.cross == ("VGG16",)
    assert parse(["--cross", "MLP"], program="x", choices=choices).cross == ("MLP",)


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("--selection Uniform --eps 0.1", "eps"),
        ("--selection Uniform --selection_epochs 3", "selection_epochs"),
        ("--selection Uniform --selection_model MLP", "selection_model"),
        ("--selection Uniform --save_features", "save_features"),
        ("--selection Full --fraction 0.5", "fraction"),
        ("--selection Full --balance no", "balance"),
        ("--selection LCMat --kernel cosine", "kernel"),
        ("--selection Submodular --eps 0.1", "eps"),
        ("--selection Submodular --kernel adacore --K 10", "K"),
        ("--selection kCenterGreedy --pretrained -slr 0.3", "selection_lr"),
        ("--val_ratio 0.3", "val_ratio"),
        ("--optimizer Adam --momentum 0.3", "momentum"),
        ("--optimizer Rprop --weight_decay 0.3", "weight_decay"),
        ("--optimizer Adam --nesterov no", "nesterov"),
        ("-so RMSprop -sn no", "selection_nesterov"),
        ("--momentum 0 --nesterov", "nesterov"),
        ("--gamma 0.3", "gamma"),
        ("--step_size 3", "step_size"),
        ("--scheduler StepLR --min_lr 0", "min_lr"),
        ("--scheduler none --gamma 0.3", "gamma"),
        ("--cross ResNet18 VGG16", "cross"),
        ("--train_batch 3 --selection_batch 4 --batch 5", "batch"),
        ("--selection Uniform --train_batch 3 --batch 5", "batch"),
        ("--coreset a.npz --eps 0.3", "eps"),
        ("--coreset a.npz --balance no", "balance"),
        ("--backpack", "backpack"),
    ],
)
def test_a_flag_without_a_part_is_named(line, flag, capsys):
    (note,) = notes(line, capsys)
    assert note.startswith(f"note: --{flag} ")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--selection Submodular --kernel worst --eps 0.1",
        "--selection Submodular --submodular FacilityLocation --kernel worst --eps 0.1",
        "--selection Glister --lr 0.1",
        "--selection Uniform --lr 0.2 --batch 3 --seed 4",
        "--momentum 0",
        "--val --val_ratio 0.1",
        "--train_batch 3 --batch 5",
        "--coreset a.npz --seed 4 --epochs 3",
    ],
)
def test_flags_that_act_are_passed_over_in_silence(line, capsys):
    assert notes(line, capsys) == []


BAD = [
    ("--fraction 0", "(0, 1]"),
    ("--fraction 1.01", "'1.01'"),
    ("--fraction 0.1 -0.2", "'-0.2'"),
    ("--fraction nan", "'nan'"),
    ("--fraction 0.1 x", "'x'"),
    ("--fraction", "at least one"),
    ("--epochs 0", "at least 1"),
    ("--epochs 2.5", "'2.5'"),
    ("--selection_epochs 0", "--selection_epochs/-se"),
    ("--batch 0", "--batch/"),
    ("--train_batch -1", "at least 1"),
    ("--selection_batch 0", "at least 1"),
    ("--lr 0", "(0, inf)"),
    ("--lr inf", "(0, inf)"),
    ("--lr -1", "(0, inf)"),
    ("--lr -inf", "--lr"),
    ("--selection_lr nan", "(0, inf)"),
    ("--min_lr -0.1", "[0, inf)"),
    ("--min_lr 0.2", "above --lr 0.1"),
    ("--scheduler LinearLR --lr 1e-5", "--min_lr 0"),
    ("--momentum 1", "[0, 1)"),
    ("--weight_decay inf", "[0, inf)"),
    ("--gamma 0", "(0, 1]"),
    ("--step_size 0", "at least 1"),
    ("--val_ratio 0", "(0, 1)"),
    ("--val_ratio 1", "(0, 1)"),
    ("--test_fraction 0", "(0, 1]"),
    ("--selection_test_fraction 1.1", "(0, 1]"),
    ("--test_interval -1", "at least 0"),
    ("--num_exp 0", "from 1 to"),
    ("--num_exp 1000000000000", "from 1 to"),
    ("--num_eval 0", "from 1 to"),
    ("--workers -1", "from 0"),
    ("--K 0", "at least 1"),
    ("--eps -0.1", "[0, inf)"),
    ("--eps inf", "[0, inf)"),
    ("--im_size 0", "at least 1"),
    ("--seed -1", "at least 0"),
    ("--seed 99999999999999999999", "at least 0"),
    ("--print_freq 0", "at least 1"),
    ("--checkpoint_interval nan", "[0, inf)"),
    ("--memory_budget 0", "at least 1MB"),
    ("--memory_budget 512KB", "at least 1MB"),
    ("--memory_budget 9999999TB", "below"),
    ("--memory_budget lots", "512MB"),
    ("--memory_budget -8GB", "-8GB"),
    ("--balance maybe", "yes or no"),
    ("--data_path ''", "empty"),
    ("--save_path ''", "empty"),
    ("--data_on_device perhaps", "auto, on, off"),
    ("--dataset CIFAR1", "did you mean CIFAR10"),
    ("--model resnet19", "did you mean ResNet18"),
    ("--selection_model x", "ConvNet"),
    ("--cross VGG16 VGG17", "'VGG17'"),
    ("--selection LCMet", "did you mean LCMat"),
    ("--kernel wurst", "did you mean worst"),
    ("--submodular x", "FacilityLocation, GraphCut, LogDeterminant"),
    ("--submodular_greedy x", "StochasticGreedy"),
    ("--uncertainty x", "Margin"),
    ("--optimizer adamm", "did you mean Adam"),
    ("--optimizer LBFGS", "several times a step"),
    ("--selection_optimizer SparseAdam", "sparse"),
    ("--scheduler ReduceLROnPlateau", "CosineAnnealingLR, "),
    ("--gpu x", "'x'"),
    ("--gpu -1", "at least 0"),
    ("--frac 0.1", "did you mean --fraction"),
    ("-w 0.1", "did you mean -wd"),
    ("--selection_epoch 3", "did you mean --selection_epochs"),
    ("--nothing_like_it_at_all", "unknown flag"),
    ("stray", "unexpected argument 'stray'"),
    ("--lr=--", "unexpected value '--'"),
    ("--fraction=--", "unexpected value '--'"),
    ("-p--", "unexpected value '--'"),
    ("--lr 0.1 0.2", "unexpected argument '0.2'"),
    ("--seed", "expected one"),
    ("''", "unexpected argument ''"),
    ("'--seed 3'", "unknown flag"),
    ("--dataset 'two\nlines'", "'two\\nlines'"),
]


@pytest.mark.parametrize(("line", "part"), BAD)
def test_bad_input_is_one_line(line, part, capsys):
    with pytest.raises(UserError) as caught:
        read(line)
    message = str(caught.value)
    assert part in message
    assert "\n" not in message
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000000", 10**6),
        ("1e", None),
        ("2MB", 2 * 10**6),
        ("2mib", 2 * 2**20),
        ("1.5G", 1_500_000_000),
        ("1.5 GiB", 3 * 2**29),
        ("1TB", 10**12),
        ("8iB", None),
        ("٣MB", None),
    ],
)
def test_sizes(text, size):
    argv = ["--memory_budget", text]
    if size is None:
        with pytest.raises(UserError, match="memory_budget"):
            parse(argv, program="main.py", choices=CHOICES)
    else:
        assert parse(argv, program="main.py", choices=CHOICES).execution.memory_budget == size


def test_devices_are_those_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert read("--gpu 1 0 1").execution.gpu == (1, 0)
    with pytest.raises(UserError, match="--gpu 2: no such device; available: 0, 1"):
        read("--gpu 0 2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--gpu 0: no CUDA device"):
        read("--gpu 0")
    assert read().execution.gpu == ()


def test_the_empty_resume_of_earlier_code_is_none():
    assert read("--resume ''").execution.resume is None


def digest_of(line: str) -> str:
    found = read(line)
    return found.run(found.fractions[0], found.seeds[0]).digest()


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("", change)
        for change in (
            "--dataset CIFAR100",
            "--im_size 64",
            "--val",
            "--model VGG16",
            "--selection AdaCore",
            "--selection_model VGG16",
            "--fraction 0.2",
            "--balance no",
            "--eps 0.01",
            "--K 10",
            "--weighted",
            "--submodular_greedy NaiveGreedy",
            "-se 3",
            "-sb 3",
            "-so Adam",
            "-slr 1",
            "-sm 0.1",
            "-swd 0",
            "-sn no",
            "--optimizer Adam",
            "--lr 0.2",
            "--min_lr 0",
            "--momentum 0.1",
            "--weight_decay 0",
            "--nesterov no",
            "--scheduler none",
            "--epochs 3",
            "--batch 3",
            "--train_batch 3",
            "--test_interval 0",
            "--test_fraction 0.5",
            "--seed 1",
            "--amp",
            "--compile",
        )
    ]
    + [
        ("--val", "--val_ratio 0.3"),
        ("--scheduler StepLR", "--gamma 0.1"),
        ("--scheduler StepLR", "--step_size 3"),
        ("--dataset ImageFolder", "--data_path elsewhere"),
        ("--selection Submodular", "--kernel adacore"),
        ("--selection Submodular", "--submodular FacilityLocation"),
        ("--selection Uncertainty", "--uncertainty Margin"),
        ("--selection Cal", "--pretrained"),
    ],
)
def test_every_setting_that_can_change_the_result_changes_the_digest(base, change):
    assert digest_of(base) != digest_of(f"{base} {change}")


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("", change)
        for change in (
            "--data_path elsewhere",
            "--save_path elsewhere",
            "--resume here",
            "--checkpoint_interval 3",
            "--print_freq 3",
            "--workers 0",
            "--data_on_device on",
            "--memory_budget 1GB",
            "--profile",
            "--save_features",
            "--after_analyses",
            "--exact_analyses",
            "--num_exp 4",
            "--num_eval 4",
            "--cross VGG16",
            "--fraction 0.1 0.3",
            "--backpack",
            "--val_ratio 0.3",
            "--gamma 0.1",
            "--step_size 3",
            "--kernel worst",
            "--eps 0.050",
        )
    ]
    + [
        ("--selection Uniform", "--eps 0.3 --K 3 --kernel worst -se 3 --selection_model VGG16"),
        ("--selection Submodular", "--eps 0.3 --K 3"),
        ("--optimizer Adam", "--momentum 0.3 --nesterov no"),
        ("--momentum 0", "--nesterov no"),
        ("--selection kCenterGreedy --pretrained", "-slr 0.3"),
        ("--selection Full", "--fraction 0.3 --balance no"),
    ],
)
def test_what_does_not_act_leaves_the_digest_alone(base, change):
    assert digest_of(base) == digest_of(f"{base} {change}")


def test_help_shows_every_flag_in_its_group_within_100_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as stopped:
        read("--help")
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    sections = dict(zip(flags(CHOICES), text.split("options:")[1].split("\n\n")[1:], strict=True))
    for title, members in flags(CHOICES).items():
        assert sections[title].startswith(f"{title}:\n")
        for flag in members:
            assert f"  {', '.join(flag.names.split())} {flag.metavar}" in sections[title]


def test_each_flag_is_explained_in_its_own_words():
    members = [flag for group in flags(CHOICES).values() for flag in group]
    for flag in members:
        twins = {flag.name, f"selection_{flag.name}", flag.name.removeprefix("selection_")}
        assert len(flag.help) > 10
        assert flag.help not in {other.help for other in members if other.name not in twins}


NAMES = [name for group in flags(CHOICES).values() for flag in group for name in flag.names.split()]
JUNK = ["", "-", "--", "-1", "0", "1", "1e400", "nan", "-inf", "%s", "%", "=", "--x", "é", "a b", "\n", "\0", "{}"]
VALUES = st.one_of(
    st.sampled_from([*JUNK, "SGD", "LCMat", "uniform", "Submodular", "worst", "FacilityLocation", "2MB"]),
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)
WORDS = st.one_of(
    st.sampled_from(NAMES), VALUES, st.tuples(st.sampled_from(NAMES), VALUES).map("=".join), st.just("--help")
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(WORDS.map(lambda word: [word]), st.tuples(st.sampled_from(NAMES), VALUES)), max_size=8))
def test_any_command_line_ends_in_settings_or_one_line(parts):
    argv = [word for part in parts for word in part]
    try:
        found = parse(argv, program="main.py", choices=CHOICES)
    except UserError as error:
        assert str(error)
    except SystemExit as stop:
        assert stop.code == 0
        assert any(word.startswith(("-h", "--help")) for word in argv)
    else:
        run = found.run(found.fractions[0], found.seeds[0])
        assert len(run.digest()) == 8
