"""The command line: every way to get it wrong, and what is said of flags that do not act."""

from __future__ import annotations

import pytest
import torch
from command_lines import MEMBERS, read
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.arguments import parse
from utils.errors import UserError


def notes(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    read(line)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("--selection Uniform --eps 0.1", "eps"),
        ("--selection Uniform --selection_epochs 3", "selection_epochs"),
        ("--selection Uniform --selection_model MLP", "selection_model"),
        ("--selection Uniform --save_features", "save_features"),
        ("--selection Full --fraction 0.5", "fraction"),
        ("--selection Full --balance no", "balance"),
        ("--selection LCMatGC --partitions 3", "partitions"),
        ("--selection Submodular --partitions auto", "partitions"),
        ("--selection LCMat --released --partitions auto", "partitions"),
        ("--coreset a.npz --partitions 3", "partitions"),
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
        ("--selection Uniform --scoring temperature", "scoring"),
        ("--selection Forgetting --temperature 2", "temperature"),
        ("--selection LCMat --scoring evaluation --temperature 2", "temperature"),
        ("--selection Craig --released", "released"),
        ("--coreset a.npz --scoring evaluation", "scoring"),
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
        "--selection Glister --eta 0.1",
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
    ("--selection_epochs -1", "--selection_epochs/-se"),
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
    ("--augmentation colour", "color"),
    ("--augmentation color_color", "twice"),
    ("--gpu cpu 0", "cpu alone"),
    ("--gpu gpu", "at least 0"),
    ("--model MLP --im_size 4", "crop_flip takes images of 5x5 or more"),
    ("--model MLP --dataset ImageFolder --im_size 4", "crop_flip takes images of 5x5 or more"),
    ("--model MLP --dataset Digits --augmentation crop_flip --im_size 4", "5x5 or more"),
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
            parse(argv, program="main.py")
    else:
        assert parse(argv, program="main.py").execution.memory_budget == size


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


NAMES = [name for flag in MEMBERS for name in flag.names.split()]
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
        found = parse(argv, program="main.py")
    except UserError as error:
        assert str(error)
    except SystemExit as stop:
        assert stop.code == 0
        assert any(word.startswith(("-h", "--help")) for word in argv)
    else:
        run = found.run(found.sizes[0], found.seeds[0])
        assert len(run.digest()) == 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--selection LCMat --released --scoring evaluation", "--released scores in class_batches"),
        ("--selection LCMat --released --temperature 3 --scoring temperature", "--released scores in class_batches"),
        ("--selection LCMat --released --weighted", "no weights"),
        ("--selection LCMat --scoring class_batches --features nowhere.npz", "looks through the network"),
        ("--selection LCMat --temperature 0", "number in"),
        ("--selection LCMat --scoring training", "class_batches"),
    ],
)
def test_scorings_that_do_not_go_together(line, said):
    with pytest.raises(UserError, match=said):
        read(line)
