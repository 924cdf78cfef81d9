"""Facility location in parts, beside the same two rounds written as they are described."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import torch
from largest_tensor import LargestTensor
from method_problems import problem
from sklearn.datasets import load_digits

from methods import select_coreset
from methods.split import Split
from utils.data.coreset import Coreset
from utils.data.partitioned import Partitioned
from utils.errors import UserError
from utils.seeding import generator

EPS, NUM_DIMS, FEW = 0.05, 8, 6
OPTIONS = {"eps": EPS, "num_dims": NUM_DIMS}


def selected(features, method="LCMat", **options):
    values = {"embeddings": features.embeddings, "logits": features.logits, "labels": features.labels}
    return select_coreset(method, **values, **{"balance": False, **options})


def distances(features, eps=EPS):
    """LCMat's distances, or with eps 0 those of gradients, pair by pair."""
    values = (features.embeddings, features.logits, features.labels)
    g, h = literal.dense_derivatives(*(each.numpy() for each in values))
    return literal.distances(g, h, eps, NUM_DIMS)


def picks_for(matrix, candidates, budget):
    """The ``candidates`` that facility location picks for all samples; ``matrix`` is between samples."""
    nearest, picks = np.full(len(matrix), matrix[:, candidates].max()), []
    for _ in range(budget):
        gains = np.maximum(0, nearest[:, None] - matrix[:, candidates]).sum(axis=0)
        gains[picks] = -np.inf
        picks.append(int(np.flatnonzero(gains >= gains.max() * (1 - 1e-9) - 1e-12 * nearest.sum())[0]))
        nearest = np.minimum(nearest, matrix[:, candidates[picks[-1]]])
    return [int(candidates[pick]) for pick in picks]


def two_rounds(matrix, budget, parts, seed):
    """The picks, how many candidates there were, and how many samples are nearest to each pick."""
    order = torch.randperm(len(matrix), generator=generator(seed, "partition")).numpy()
    rivals, union = [], []
    for part in np.array_split(order, parts):
        part = np.sort(part)
        share = min(budget, len(part), max(-(-3 * budget * len(part) // len(matrix)), -(-FEW // parts)))
        own = picks_for(matrix[np.ix_(part, part)], np.arange(len(part)), share)
        rivals.append([int(part[each]) for each in own])
        union += rivals[-1]
    rivals = [picks_for(matrix, np.sort(union), budget), *(each for each in rivals if len(each) == budget)]
    best = min(rivals, key=lambda picks: literal.objective(matrix, picks))
    owner = matrix[:, best].argmin(axis=1)
    return best, len(union), [int((owner == place).sum()) for place in range(budget)]


@pytest.fixture
def few(monkeypatch):
    """Unions are small, as those of many samples are."""
    monkeypatch.setattr("methods.partitions._FEW", FEW)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("memory_budget", [None, 1], ids=["held", "on demand"])
@pytest.mark.parametrize(("budget", "parts"), [(12, 4), (5, 2), (3, 7), (30, 3), (48, 5)])
@pytest.mark.parametrize("seed", range(2))
def test_against_two_literal_rounds(budget, parts, seed, memory_budget):
    features = problem(n=48, seed=seed).features
    options = {"budget": budget, "partitions": parts, "seed": seed, "memory_budget": memory_budget}
    lcmat, craig = selected(features, **options, **OPTIONS), selected(features, "Craig", **options)
    picks, candidates, _ = two_rounds(distances(features), budget, parts, seed)
    assert lcmat.indices.tolist() == picks
    (record,) = lcmat.partitioned
    assert (record.samples, record.parts, record.candidates, record.seen) == (48, min(parts, 48), candidates, 48)
    matrix = distances(features)
    assert record.distance == pytest.approx(literal.objective(matrix, picks) / 48)
    full = literal.naive_picks(matrix, budget, matrix.max())
    assert record.full_distance == pytest.approx(literal.objective(matrix, full) / 48)
    picks, _, weights = two_rounds(distances(features, eps=0), budget, parts, seed)
    assert craig.indices.tolist() == picks
    assert craig.weights.tolist() == weights, "over all samples, not over what the parts picked"


def near_parts(matrix, budget, parts):
    """The picks by gain from parts of samples nearest to the first picks of the full greedy, and the candidates."""
    centres = picks_for(matrix, np.arange(len(matrix)), parts)
    owner, ranked = matrix[:, centres].argmin(axis=1), []
    for place in range(parts):
        part = np.flatnonzero(owner == place)
        own = matrix[np.ix_(part, part)]
        share = min(budget, len(part), max(-(-3 * budget * len(part) // len(matrix)), -(-FEW // parts)))
        nearest = np.full(len(part), own.max())
        for pick in picks_for(own, np.arange(len(part)), share):
            ranked.append((np.maximum(0, nearest - own[:, pick]).sum(), int(part[pick])))
            nearest = np.minimum(nearest, own[:, pick])
    return [pick for _, pick in sorted(ranked, key=lambda each: -each[0])[:budget]], len(ranked)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("budget", "parts"), [(12, 4), (20, 2), (9, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_near_parts_against_a_literal_ranking_by_gain(budget, parts, seed, monkeypatch):
    monkeypatch.setattr("methods.partitions._UNEVEN", parts)
    features = problem(n=48, seed=seed).features
    matrix = distances(features)
    coreset = selected(features, budget=budget, partitions=f"near:{parts}", seed=seed, **OPTIONS)
    picks, candidates = near_parts(matrix, budget, parts)
    (record,) = coreset.partitioned
    assert (record.near, record.parts, record.candidates) == (True, parts, candidates)
    assert coreset.indices.tolist() == picks
    assert record.distance == pytest.approx(literal.objective(matrix, picks) / 48)


@pytest.mark.usefixtures("few")
def test_a_single_part_s_picks_may_be_the_best():
    """Of two parts that each pick all that is wanted, one may do better than what is picked from both."""
    won = set()
    for seed in range(12):
        features = problem(n=12, seed=seed).features
        matrix = distances(features)
        picks, _, _ = two_rounds(matrix, 2, 2, seed)
        order = torch.randperm(12, generator=generator(seed, "partition"))
        won.add(any(set(picks) <= set(part.tolist()) for part in order.tensor_split(2)))
        assert selected(features, budget=2, partitions=2, seed=seed, **OPTIONS).indices.tolist() == picks
    assert won == {True, False}


@pytest.mark.parametrize("name", ["LCMat", "Craig", "AdaCore"])
def test_one_part_is_the_full_greedy(name):
    features = problem(n=60).features
    full, one, auto = (selected(features, name, fraction=0.2, partitions=each) for each in (1, "1", "auto"))
    assert full.indices.tolist() == one.indices.tolist() == auto.indices.tolist()
    assert not full.partitioned


def test_auto_goes_by_the_number_of_samples():
    found = {n: Split.read("auto").number(n) for n in (1, 20_000, 20_001, 1_000_000)}
    assert found == {1: 1, 20_000: 1, 20_001: 5, 1_000_000: 200}
    assert Split.read("7").number(3) == 3


@pytest.mark.parametrize("text", ["1", "12", "near:3", "auto"])
def test_a_split_is_written_as_it_is_read(text):
    assert str(Split.read(text.upper())) == text


def test_each_class_is_split_by_itself():
    features = problem(n=90).features
    coreset = selected(features, fraction=0.2, partitions=3, balance=True, **OPTIONS)
    sizes = features.labels.bincount().tolist()
    assert [each.samples for each in coreset.partitioned] == sizes
    assert np.bincount(features.labels.numpy()[coreset.indices]).sum() == 18


def test_a_seed_repeats_the_parts_and_another_one_draws_others():
    features = problem(n=80).features
    first, again, other = (selected(features, budget=10, partitions=4, seed=each) for each in (3, 3, 4))
    assert first.indices.tolist() == again.indices.tolist()
    assert first.indices.tolist() != other.indices.tolist()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("partitions", ["4", "near:4"])
@pytest.mark.parametrize("name", ["LCMat", "Craig"])
def test_several_sizes_at_once_are_each_by_itself(name, partitions):
    from methods import make_method
    from methods.base import SelectionInputs
    from methods.budgets import ALL
    from methods.select import select_nested

    features = problem(n=80).features
    wanted = [{ALL: size} for size in (20, 3, 9)]
    given = SelectionInputs(features.labels, features)
    together = select_nested(make_method(name), given, wanted, seed=2, partitions=Split.read(partitions))
    for budgets, coreset in zip(wanted, together, strict=True):
        alone = selected(features, name, budget=budgets[ALL], partitions=partitions, seed=2)
        assert coreset.indices.tolist() == alone.indices.tolist()
        assert coreset.partitioned == alone.partitioned


@pytest.fixture(scope="module")
def digits():
    """The handwritten digits through a small network: embeddings [1797, 48], logits and labels."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    torch.manual_seed(0)
    hidden, last = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU()), torch.nn.Linear(48, 10)
    optimizer = torch.optim.Adam([*hidden.parameters(), *last.parameters()], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(last(hidden(x)), y).backward()
        optimizer.step()
    z = hidden(x).detach()
    return {"embeddings": z, "logits": last(z).detach(), "labels": y, "temperature": "auto"}


@pytest.mark.parametrize("partitions", [10, "near:10"])
@pytest.mark.parametrize(("fraction", "balance"), [(0.02, True), (0.02, False), (0.1, False)])
def test_ten_parts_reach_99_percent_of_the_full_greedy_on_real_features(digits, fraction, balance, partitions):
    coreset = select_coreset("LCMat", **digits, fraction=fraction, balance=balance, partitions=partitions, eps=0.01)
    assert len(coreset.partitioned) == (10 if balance else 1)
    assert all(each.candidates < each.samples for each in coreset.partitioned)
    assert min(each.ratio for each in coreset.partitioned) > 0.99


@pytest.mark.usefixtures("few")
def test_no_more_than_a_part_is_compared_at_once(monkeypatch):
    monkeypatch.setattr("methods.partitions._SEEN", 50)
    monkeypatch.setattr("methods.partitions._PAIRS", 60 * 160)
    features = problem(n=2000, labels=torch.zeros(2000).long()).features
    with LargestTensor() as largest:
        coreset = selected(features, budget=50, partitions=20, memory_budget=400_000, **OPTIONS)
    assert len(coreset) == 50
    assert largest.numel <= 2000 * 13, "a part has 100² pairs, and all samples a few columns"
    (record,) = coreset.partitioned
    assert (record.candidates, record.seen, record.full_distance, record.ratio) == (160, 50, None, None)


def test_copies_that_are_all_nearest_to_one_centre_are_split_too():
    features = problem(n=4).features.subset(torch.zeros(600, dtype=torch.int64))
    coreset = selected(features, "Craig", budget=5, partitions="near:15")
    (record,) = coreset.partitioned
    assert record.parts == 5, "of 120 samples, three times the mean"
    assert coreset.weights.tolist() == [600, 0, 0, 0, 0]


@pytest.mark.parametrize("partitions", ["5", "near:5"])
def test_threads_change_nothing(partitions):
    before, features = torch.get_num_threads(), problem(n=90).features
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(selected(features, "Craig", budget=12, partitions=partitions, balance=False))
    torch.set_num_threads(before)
    assert found[0].indices.tolist() == found[1].indices.tolist()
    assert found[0].weights.tolist() == found[1].weights.tolist()


@pytest.mark.usefixtures("few")
def test_what_parts_came_to_is_kept_with_the_coreset(tmp_path):
    coreset = selected(problem(n=60).features, budget=9, partitions=3)
    coreset.save(tmp_path / "coreset.npz")
    found = Coreset.load(tmp_path / "coreset.npz")
    assert found.partitioned == coreset.partitioned
    assert str(found.partitioned[0]).startswith("3 random parts, 27 candidates, ")
    with pytest.raises(UserError, match="what it says of its parts is not to be read"):
        Partitioned.from_json('[{"parts": 3}]')


@pytest.mark.parametrize("partitions", [0, -1, "many", 2.5, None, True, "near", "near:0", "far:3"])
def test_what_is_no_number_of_parts_is_refused(partitions):
    with pytest.raises(UserError, match="partitions must be"):
        selected(problem().features, fraction=0.2, partitions=partitions)


@pytest.mark.parametrize(
    ("name", "options"),
    [("Herding", {}), ("LCMatGC", {}), ("Submodular", {"submodular": "GraphCut"}), ("LCMat", {"released": True})],
    ids=["Herding", "LCMatGC", "GraphCut", "released"],
)
def test_other_methods_take_no_parts(name, options):
    features = problem().features
    with pytest.raises(UserError, match="takes no partitions; facility location does"):
        selected(features, name, fraction=0.2, partitions=3, **options)
    if not options.get("released"):
        assert not selected(features, name, fraction=0.2, partitions="auto", **options).partitioned
