"""What ranks share out: every part of the work once, in the order that one process has."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import two_ranks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_data import make_data
from torch.distributed import TCPStore

from utils.data.batches import Batch, Batches
from utils.data.images import FileImages
from utils.data.registry import DataSpec
from utils.data.siamese import FAMILIES, Siamese
from utils.distributed import SINGLE_PROCESS, World, current_world, world_from_environment
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def ranks(size: int) -> list[World]:
    return [World(rank, size, rank) for rank in range(size)]


@given(n=st.integers(0, 50), size=st.integers(1, 8))
def test_shards_are_even_parts_in_order(n: int, size: int) -> None:
    parts = [list(range(n))[world.shard(n)] for world in ranks(size)]
    assert list(chain(*parts)) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(sizes=st.lists(st.integers(0, 9), max_size=20), size=st.integers(1, 5))
def test_every_job_is_handed_out_once_and_the_largest_apart(sizes: list[int], size: int) -> None:
    hands = [world.shard_by_size(sizes) for world in ranks(size)]
    assert sorted(chain(*hands)) == list(range(len(sizes)))
    assert all(hand == sorted(hand) for hand in hands)
    loads = [sum(sizes[job] for job in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(sizes, default=0)


def memory(size: int, world: World = SINGLE_PROCESS, **options) -> Batches:
    data = make_data()
    spec = DataSpec("Tiny", 1, 8, 3, ("a", "b", "c"), (0.3,), (0.2,), "crop_flip")
    weights = torch.rand(50, generator=torch.Generator().manual_seed(0))
    options = {"device": "cpu", "shuffle_seed": 3, "weights": weights} | options
    return Batches(data.train, spec, torch.arange(5, 55), size, world=world, **options)


def same_batch(whole: Batch, parts: list[Batch]) -> bool:
    joined = [torch.cat([getattr(part, name) for part in parts]) for name in ("x", "y", "index", "weight")]
    expected = [whole.x, whole.y, whole.index, whole.weight]
    positions = all(torch.equal(part.position, whole.position) for part in parts)
    return positions and all(torch.equal(*pair) for pair in zip(joined, expected, strict=True))


@pytest.mark.parametrize("options", [{}, {"augment": True}, *({"siamese": Siamese.of(family)} for family in FAMILIES)])
@pytest.mark.parametrize(("ranks_", "batch"), [(2, 16), (3, 16), (4, 7), (3, 48), (5, 3)])
def test_the_shards_of_a_batch_are_the_batch(options, ranks_, batch):
    shared = [memory(batch, world, **options) for world in ranks(ranks_)]
    whole = memory(batch, **options)
    assert {len(each) for each in shared} == {len(whole)}
    for one, *parts in zip(whole, *shared, strict=True):
        assert same_batch(one, parts)


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_decode_their_own_files_only(tmp_path: Path, workers: int):
    random = torch.Generator().manual_seed(0)
    names = [f"{number}.png" for number in range(7)]
    for name in names:
        pixels = torch.randint(256, (9, 8, 3), generator=random, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    images = FileImages(tmp_path, tuple(names), torch.arange(7), 3, 8, 8, crop_whole=True)
    spec = DataSpec("Files", 3, 8, 7, tuple(names), (0.5,) * 3, (0.5,) * 3, "resized_crop_flip")

    def batches(world: World) -> list[Batch]:
        options = {"device": "cpu", "shuffle_seed": 1, "augment": True, "weights": torch.ones(7), "workers": workers}
        return list(Batches(images, spec, torch.arange(7), 5, world=world, **options))

    for one, *parts in zip(batches(SINGLE_PROCESS), *map(batches, ranks(3)), strict=True):
        assert same_batch(one, parts)
        assert [len(part) for part in parts] in ([1, 2, 2], [0, 1, 1])


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with world_from_environment() as world:
        assert world == current_world() == SINGLE_PROCESS
        part, network = torch.rand(3), torch.nn.Linear(2, 2)
        assert world.all_gather(part, 3) is part
        assert world.all_reduce(part) is part
        assert world.data_parallel(network) is network
        assert world.all_gather_object("a") == ["a"]
        assert world.on_rank_zero(divmod, 7, 2) == world.rank_zero_first(divmod, 7, 2) == (3, 1)
        assert world.shard_by_size([1, 2, 3]) == [0, 1, 2]


def test_variables_that_make_no_sense_are_named(monkeypatch):
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "port"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="torchrun"), world_from_environment():
        raise AssertionError


def launch(program: str, argument: str, size: int = 2) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of the ranks of a program beside this file, started as torchrun does."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(size)}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    variables |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), argument],
            env={**os.environ, **variables, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in map(str, range(size))
    ]
    try:
        printed = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *each) for process, each in zip(processes, printed, strict=True)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank got from all of WORK."""
    folder = tmp_path_factory.mktemp("ranks")
    (status, _, first), (other, _, second) = launch("two_ranks.py", str(folder))
    assert (status, other) == (0, 0), first + second
    assert second == ""
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_ranks_exchange_what_is_theirs(results):
    whole = torch.arange(10.0).view(5, 2) - 4
    for each in (result["exchanged"] for result in results):
        assert torch.equal(each["float"], whole)
        assert torch.equal(each["bool"], whole > 0)
        assert each["empty"].tolist() == [0]
        assert each["all_reduce"] == 3
        assert each["all_gather_object"].tolist() == [0, 1]
        assert each["on_rank_zero"] == 0
        assert each["refused"] == "no such thing"
    assert [result["exchanged"]["found"] for result in results] == [False, True]


@pytest.mark.parametrize("name", ["MLP", "ConvNet", "an empty shard", "one image", "weights", "interrupted"])
def test_two_ranks_train_what_one_trains(results, name):
    alone = two_ranks.WORK[name](SINGLE_PROCESS)
    for result in results:
        torch.testing.assert_close(result[name], alone, rtol=1e-5, atol=1e-7)


def test_a_resumed_training_of_two_ranks_ends_as_an_undisturbed_one(results):
    for result in results:
        torch.testing.assert_close(result["interrupted"], result["MLP"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["MLP", "ConvNet", "normalised", "weights"])
def test_all_ranks_end_with_one_network_and_one_history(results, name):
    torch.testing.assert_close(results[0][name], results[1][name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["LCMat", "naive", "unbalanced", "random", *two_ranks.PARTS])
def test_from_the_same_features_two_ranks_select_what_one_selects(results, name):
    alone = two_ranks.WORK[name](SINGLE_PROCESS)
    for result in results:
        torch.testing.assert_close(result[name], alone, rtol=0, atol=0)


def test_three_ranks_share_the_parts_of_one_class(tmp_path):
    ended = launch("two_ranks.py", str(tmp_path), 3)
    assert [status for status, _, _ in ended] == [0, 0, 0], ended
    alone = {name: work(SINGLE_PROCESS) for name, work in two_ranks.PARTS.items()}
    for rank in range(3):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, alone, rtol=0, atol=0)


def test_rows_go_to_the_rank_that_owns_them(results):
    whole = torch.arange(10.0).view(5, 2) - 4
    assert torch.equal(results[0]["exchanged"]["all_to_all"], whole[[1, 3]])
    assert torch.equal(results[1]["exchanged"]["all_to_all"], whole[[0, 2, 4]])


@pytest.mark.parametrize("name", ["pipeline", "pipeline at once", "shards", "pipeline ConvNet", "forgetting", "pixels"])
def test_two_ranks_come_from_data_to_the_same_coreset(results, name):
    alone = two_ranks.WORK[name](SINGLE_PROCESS)
    for result in results:
        torch.testing.assert_close(result[name], alone, rtol=0, atol=0)
        assert torch.equal(result[name]["first"], result[name]["from the cache"])


@pytest.mark.parametrize(
    ("end", "statuses", "message"),
    [
        ("refused", (2, 2), "error: nobody can do this\n"),
        ("failed", (2, 2), "error: the second rank has had enough\n"),
        ("killed", (2, -9), "error: another process of this run was killed or lost; started again, it goes on\n"),
        ("stopped", (143, 143), ""),
        ("deaf", (130, 130), ""),
    ],
)
def test_where_one_rank_ends_all_do_in_one_line(end, statuses, message):
    (first, out, err), (second, silent, said) = launch("ending_ranks.py", end)
    assert (first, second) == statuses, err + said
    assert err + said == message
    assert (out, silent) == ("speaking\n", "")
