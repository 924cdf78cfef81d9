"""What every method keeps, whatever it selects by."""

import dataclasses
import re
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from largest_tensor import LargestTensor
from method_problems import on_cpu, one_class, problem
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from torch.utils._python_dispatch import TorchDispatchMode

from methods import METHODS, make_method, select_coreset
from methods.base import FEATURES, Need, SelectionInputs
from methods.budgets import ALL
from methods.features import Features
from methods.select import select, select_nested
from nets.last_layer import augment, probabilities
from utils.errors import UserError
from utils.notes import note_once

SCORES = {Need.TRACE, Need.REPEATS, Need.PIXELS, Need.DIFFICULTY}
VARIANTS = [
    *((name, {}) for name in METHODS if name != "Full"),
    ("Prototypicality", {"keep": "easiest"}),
    *(("Uncertainty", {"uncertainty": uncertainty}) for uncertainty in ("LeastConfidence", "Margin")),
    *(("Glister", {"greedy": greedy}) for greedy in ("NaiveGreedy", "StochasticGreedy")),
    *(("Craig", {"greedy": greedy}) for greedy in ("NaiveGreedy", "StochasticGreedy", "ApproximateLazyGreedy")),
    *(
        ("Submodular", {"submodular": function, "kernel": kernel})
        for function in ("FacilityLocation", "GraphCut", "LogDeterminant")
        for kernel in ("cosine", "worst", "grad_l2", "adacore")
    ),
]
either_balance = pytest.mark.parametrize("balance", [True, False], ids=["balanced", "unbalanced"])
# Their first pick, or the candidates of every pick, are drawn by position; what follows is tested of each by itself.
DRAWN = ("Uniform", "kCenterGreedy", "ContextualDiversity", "CCS")


def is_drawn(name, options):
    return name in DRAWN or options.get("greedy") == "StochasticGreedy"


def is_tied(name, options):
    """Whether the first pick is a draw of chance or, with every S_xx the same, of all samples."""
    return is_drawn(name, options) or options.get("submodular") == "LogDeterminant"


def is_ranked(name, options):
    """Whether the best of copies comes first.

    Approximate-lazy greedy takes what is nearly as good, and D2 joins copies to different neighbours.
    """
    return not is_drawn(name, options) and options.get("greedy") != "ApproximateLazyGreedy" and name != "D2"


def over(keep):
    """A test of each variant that is to be kept."""
    kept = [each for each in VARIANTS if keep(*each)]
    return pytest.mark.parametrize(("name", "options"), kept, ids=["-".join([n, *o.values()]) for n, o in kept])


every_method = over(lambda name, options: True)


def inputs(features, name):
    """What ``select_coreset`` is given of these samples: features, and scores for a method that ranks by them."""
    values, needs = {"labels": features.labels}, METHODS[name]().needs
    if SCORES & set(needs):
        values["scores"] = features.embeddings[:, 0].square()
    return values | {need.value: getattr(features, need.value) for need in FEATURES if need in needs}


def selected(features, name, options, **settings):
    return select_coreset(name, **inputs(features, name), **{"fraction": 0.25, **settings}, **options)


def assert_sound(coreset, features, fraction, balance):
    labels = features.labels.numpy()
    if balance:
        picked = labels[coreset.indices]
        shares = [fraction * (labels == label).sum() for label in np.unique(labels)]
        assert all(abs((picked == label).sum() - share) < 1.5 for label, share in enumerate(shares))
        assert (np.diff(picked) >= 0).all()  # class after class
    assert len(coreset) == round(fraction * len(labels))
    assert len(np.unique(coreset.indices)) == len(coreset)
    assert coreset.indices.min() >= 0
    assert coreset.indices.max() < len(labels)
    if coreset.weights is not None:
        assert coreset.weights.min() > 0
        assert coreset.weights.sum() == pytest.approx(len(labels), rel=1e-5)


@every_method
@either_balance
@pytest.mark.parametrize("fraction", [0.1, 1.0])
def test_the_budget_is_met_exactly(name, options, balance, fraction):
    features = problem(n=47).features
    assert_sound(selected(features, name, options, balance=balance, fraction=fraction), features, fraction, balance)


@every_method
@either_balance
def test_two_classes_one_pick_each(name, options, balance):
    features = problem(n=20, C=2, labels=torch.arange(20) % 2).features
    coreset = selected(features, name, options, balance=balance, fraction=0.1)
    assert_sound(coreset, features, 0.1, balance)
    assert len(coreset) == 2


@every_method
@either_balance
def test_a_class_of_one_sample(name, options, balance):
    features = problem(n=21, C=3, labels=torch.tensor([2, *([0, 1] * 10)])).features
    coreset = selected(features, name, options, balance=balance, fraction=0.6)
    assert_sound(coreset, features, 0.6, balance)
    assert not balance or coreset.indices[-1] == 0


@every_method
@either_balance
def test_a_seed_repeats_the_selection(name, options, balance):
    features = problem(n=47).features
    once, again = (selected(features, name, options, balance=balance, seed=3) for _ in range(2))
    assert once.indices.tolist() == again.indices.tolist()
    assert (once.weights is None) == (again.weights is None)
    assert once.weights is None or once.weights.tolist() == again.weights.tolist()


@every_method
def test_inputs_are_left_as_they_were(name, options):
    features = problem(n=47).features
    given = inputs(features, name)
    kept = {key: value.clone() for key, value in given.items()}
    select_coreset(name, **given, fraction=0.3, **options)
    assert all(torch.equal(given[key], kept[key]) for key in given)


@every_method
def test_arrays_and_tensors_give_the_same(name, options):
    features = problem(n=47).features
    given = inputs(features, name)
    of_arrays = select_coreset(name, **{key: value.numpy() for key, value in given.items()}, fraction=0.3, **options)
    assert of_arrays.indices.tolist() == select_coreset(name, **given, fraction=0.3, **options).indices.tolist()


@over(lambda name, options: not is_tied(name, options))
@either_balance
def test_permuted_samples_give_the_same_picks_in_the_same_order(name, options, balance):
    features = problem(n=47).features
    order = torch.randperm(47, generator=torch.Generator().manual_seed(1))
    straight = selected(features, name, options, balance=balance)
    permuted = selected(features.subset(order), name, options, balance=balance)
    if name == "Submodular":  # two samples that are nearest to each other may add the same
        np.testing.assert_allclose(permuted.gains, straight.gains, rtol=1e-7)
    else:
        assert order[torch.tensor(permuted.indices)].tolist() == straight.indices.tolist()
    if straight.weights is not None:
        np.testing.assert_allclose(permuted.weights, straight.weights, rtol=1e-6)


@over(is_ranked)
def test_of_copies_the_lowest_index_is_picked_first(name, options):
    features = one_class(problem(n=60).features)
    n = len(features)
    tripled = features.subset(torch.arange(n).repeat(3))
    coreset = selected(tripled, name, options, fraction=1.0)
    assert sorted(coreset.indices) == list(range(3 * n))
    position = np.argsort(coreset.indices)  # of each sample among the picks
    assert (position[:n] < position[n : 2 * n]).all()
    assert (position[n : 2 * n] < position[2 * n :]).all()


@over(lambda name, options: not is_drawn(name, options))
def test_samples_that_are_all_alike_are_picked_in_their_order(name, options):
    features = problem(n=4).features.subset(torch.zeros(9, dtype=torch.int64))
    assert selected(features, name, options, fraction=5 / 9).indices.tolist() == [0, 1, 2, 3, 4]


@over(lambda name, options: METHODS[name](**options).nested)
@either_balance
def test_the_first_picks_of_a_larger_coreset_are_the_smaller_one(name, options, balance):
    features = problem(n=48, labels=torch.arange(48) % 3).features
    small, large = (selected(features, name, options, balance=balance, fraction=f) for f in (0.25, 0.75))
    blocks = large.indices.reshape(3 if balance else 1, -1)[:, : 4 if balance else 12]
    assert blocks.flatten().tolist() == small.indices.tolist()


@over(lambda name, options: True)
@either_balance
def test_several_sizes_at_once_are_each_by_itself(name, options, balance):
    features = problem(n=60, labels=torch.arange(60) % 3).features
    scores = features.embeddings[:, 0].square()
    given = SelectionInputs(features.labels, features, scores=scores, difficulty=scores)
    labels = range(3) if balance else [ALL]
    wanted = [dict.fromkeys(labels, size) for size in (6, 2, 17, 2)]
    together = select_nested(make_method(name, **options), given, wanted, seed=4)
    for budgets, coreset in zip(wanted, together, strict=True):
        alone = select(make_method(name, **options), given, budgets, seed=4)
        assert coreset.indices.tolist() == alone.indices.tolist()
        assert (coreset.weights is None) == (alone.weights is None)
        if coreset.weights is not None:
            np.testing.assert_allclose(coreset.weights, alone.weights, rtol=1e-6)


@pytest.fixture
def threads():
    """A function that sets torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@every_method
def test_classes_side_by_side_are_classes_one_by_one(name, options, threads):
    features = problem(n=90, C=4).features
    coresets = []
    for count in (1, 3):
        threads(count)
        coresets.append(selected(features, name, options, seed=2))
    assert coresets[0].indices.tolist() == coresets[1].indices.tolist()
    np.testing.assert_array_equal(*([] if each.weights is None else each.weights for each in coresets))


@every_method
@either_balance
def test_one_thread_and_two_pick_the_same(name, options, balance, threads):
    """In float32 and of some hundred samples, so that torch shares the operations out."""
    made = problem(n=300, d=120, C=5).features
    features = Features.of(made.embeddings.float(), made.logits.float(), made.labels)
    coresets = []
    for count in (1, 2):
        threads(count)
        coresets.append(selected(features, name, options, balance=balance, seed=2))
    assert coresets[0].indices.tolist() == coresets[1].indices.tolist()
    if coresets[0].weights is not None:
        np.testing.assert_allclose(coresets[0].weights, coresets[1].weights, rtol=1e-5)


@pytest.mark.parametrize("name", ["Herding", "kCenterGreedy", "GradMatch", "Glister", "ContextualDiversity", "LCMat"])
def test_each_class_has_a_thread_of_its_own(name, threads, monkeypatch):
    seen = set()
    all_there = threading.Barrier(3, timeout=60)
    pick_sizes = METHODS[name].pick_sizes

    def watched(*each):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            all_there.wait()
        return pick_sizes(*each)

    monkeypatch.setattr(METHODS[name], "pick_sizes", watched)
    threads(3)
    selected(problem(n=90, C=4).features, name, {})
    assert len(seen - {threading.get_ident()}) == 3


@pytest.mark.parametrize("memory_budget", [None, 1], ids=["held", "on demand"])
@pytest.mark.parametrize("name", ["Craig", "LCMat", "GradMatch"])
def test_weights_of_several_sizes_take_one_selection(name, memory_budget, monkeypatch):
    features = one_class(problem(n=60, labels=torch.arange(60) % 3).features)
    method = make_method(name, **({"weighted": True} if name == "LCMat" else {}))
    alone = {size: method.pick(SelectionInputs(features.labels, features), size, on_cpu()).weights for size in (9, 2)}
    pursuits: list[int] = []
    for module, function in (("methods.submodular", "PairwiseMatrix"), ("methods.gradmatch", "matching_pursuit")):
        before = getattr(sys.modules[module], function)
        monkeypatch.setattr(f"{module}.{function}", lambda *a, before=before: pursuits.append(1) or before(*a))
    found = method.pick_sizes(SelectionInputs(features.labels, features), [9, 2], on_cpu(0, memory_budget))
    assert len(pursuits) == 1
    for coreset, weights in zip(found, alone.values(), strict=True):
        np.testing.assert_allclose(coreset.weights, weights, rtol=1e-6)


def test_only_weighted_and_stochastic_selections_are_no_prefixes():
    apart = [(name, options) for name, options in VARIANTS if not METHODS[name](**options).nested]
    assert {name for name, _ in apart} == {"CCS", "Craig", "GradMatch", "Glister"}
    assert [options["greedy"] for name, options in apart if name == "Glister"] == ["StochasticGreedy"]


@every_method
@either_balance
def test_fault_a_budget_of_nothing_is_refused_up_front_with_a_fraction_that_works(name, options, balance):
    features = problem(n=48).features
    with pytest.raises(UserError, match="is less than one") as caught:
        selected(features, name, options, balance=balance, fraction=0.001)
    smallest = float(str(caught.value).split()[-1])
    assert len(selected(features, name, options, balance=False, fraction=smallest)) == 1
    with pytest.raises(UserError, match="gives none of the") as caught:
        selected(features, name, options, fraction=smallest)
    enough = float(re.search(r"fraction ([0-9.]+) is enough", str(caught.value))[1])
    assert len(selected(features, name, options, fraction=enough)) >= 3


@every_method
def test_an_unknown_option_is_refused_by_name(name, options):
    with pytest.raises(UserError, match=f"{name} has no option 'epsilon'"):
        selected(problem().features, name, {**options, "epsilon": 1})


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.need])
def test_what_is_missing_is_said_in_one_line(name):
    with pytest.raises(UserError, match="needs") as caught:
        select_coreset(name, labels=torch.arange(6) % 2, fraction=0.5)
    assert all(need.value in str(caught.value) for need in METHODS[name].need)
    assert "\n" not in str(caught.value)


@every_method
@either_balance
def test_needed_features_alone_give_the_picks_of_all(name, options, balance):
    features = problem(n=47).features
    alone = inputs(features, name)
    everything = alone | {"embeddings": features.embeddings, "logits": features.logits}
    few, all_ = (
        select_coreset(name, **given, fraction=0.3, balance=balance, temperature="auto", **options)
        for given in (alone, everything)
    )
    assert few.indices.tolist() == all_.indices.tolist()
    np.testing.assert_array_equal(*([] if each.weights is None else each.weights for each in (few, all_)))


@pytest.mark.parametrize(
    ("name", "part"), [(name, need.value) for name in METHODS for need in FEATURES if need in METHODS[name].need]
)
def test_a_part_of_the_features_that_is_missing_is_said_with_what_does_without(name, part):
    features = problem(n=12).features
    given = {"embeddings": features.embeddings, "logits": features.logits, part: None, "scores": torch.arange(12.0)}
    with pytest.raises(UserError, match=rf"(?i){name} needs {part}; none were given; .* do without$") as caught:
        select_coreset(name, labels=features.labels, fraction=0.5, **given)
    assert "\n" not in str(caught.value)
    without = str(caught.value).split("; ")[-1].removesuffix(" do without").split(", ")
    assert (
        without
        == {
            "embeddings": ["ContextualDiversity", "Uncertainty"],
            "logits": ["Herding", "kCenterGreedy", "Moderate", "D2", "Prototypicality"],
        }[part]
    )
    for other in without:
        assert len(select_coreset(other, labels=features.labels, fraction=0.5, **given)) == 6


def test_validation_samples_may_lack_what_the_others_lack():
    features = problem(n=12).features
    given = {"embeddings": features.embeddings, "labels": features.labels, "fraction": 0.5}
    coreset = select_coreset("Herding", **given, validation=(features.embeddings, None, features.labels))
    assert coreset.indices.tolist() == select_coreset("Herding", **given).indices.tolist()
    with pytest.raises(UserError, match="validation samples have 5 embedding and 3 logit columns"):
        select_coreset("Herding", **given, validation=(features.embeddings, features.logits, features.labels))


@pytest.mark.parametrize("part", ["embeddings", "logits"])
def test_features_without_columns_are_refused(part):
    features = problem(n=12).features
    given = {"embeddings": features.embeddings, "logits": features.logits, part: torch.zeros(12, 0)}
    with pytest.raises(UserError, match=f"{part} have no columns"):
        select_coreset("LCMat", labels=features.labels, fraction=0.5, **given)


@every_method
def test_unbalanced_all_samples_compete(name, options):
    """Class 1 is a tenth of the samples: it need not get a tenth of the picks, and the order is one over all."""
    features = problem(n=50, labels=(torch.arange(50) % 10 == 0).long()).features
    coreset = selected(features, name, options, balance=False, fraction=0.5)
    assert len(coreset) == 25
    if name != "Uniform":
        assert (np.diff(features.labels.numpy()[coreset.indices]) != 0).any()


@pytest.mark.parametrize("name", ["Craig", "GradMatch", "Glister"])
def test_the_gradients_of_all_samples_are_never_built(name):
    features = problem(n=100, d=60, C=10, labels=torch.zeros(100).long()).features
    with LargestTensor() as largest:
        selected(features, name, {}, fraction=0.2)
    assert largest.numel <= 100 * 100  # the dense gradients would be 100 × 10 × 61


class Peak:
    """The most bytes that the tensors of all threads watched took at one time."""

    def __init__(self, given):
        self.known, self.now, self.most = {each.untyped_storage().data_ptr() for each in given}, 0, 0
        self.lock = threading.RLock()

    def made(self, tensor):
        with self.lock:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in {0, *self.known}:
                self.known.add(storage.data_ptr())
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.gone, storage.data_ptr(), storage.nbytes())

    def gone(self, place, size):
        with self.lock:
            self.known.discard(place)
            self.now -= size


class Watched(TorchDispatchMode):
    """Tells a Peak of the tensors that one thread makes."""

    def __init__(self, peak):
        super().__init__()
        self.peak = peak

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, torch.Tensor):
                self.peak.made(each)
        return result


def peak(features, name, memory_budget, monkeypatch):
    given = inputs(features, name)
    found = Peak(given.values())

    def watched_threads(workers):
        return ThreadPoolExecutor(workers, initializer=lambda: Watched(found).__enter__())

    monkeypatch.setattr("methods.greedy.class_threads.ThreadPoolExecutor", watched_threads)
    with Watched(found):
        select_coreset(name, **given, fraction=0.1, memory_budget=memory_budget)
    return found.most


@pytest.mark.parametrize("name", [name for name in METHODS if name != "Full"])
@pytest.mark.parametrize(("classes", "n", "d"), [(1, 500, 40), (4, 240, 400)], ids=["one class", "two at a time"])
def test_memory_stays_within_the_budget_or_the_call_says_what_it_takes(
    name, classes, n, d, capsys, threads, monkeypatch
):
    """In float32, of which every method makes wider copies; of one class a matrix of all pairs does not fit.

    Of several, in two threads, the matrices are small beside the copies of their features.
    """
    note_once.cache_clear()
    threads(2)
    made = problem(n=n, d=d, C=10, labels=torch.arange(n) % classes).features
    features = Features.of(made.embeddings.float(), made.logits.float(), made.labels)
    taken = peak(features, name, 1, monkeypatch)
    said = re.findall(r"note: (\w+) may take ([0-9.]+) MB beyond its inputs", capsys.readouterr().err)
    assert [method.lower() for method, _ in said] == [name.lower()]
    least = float(said[0][1]) * 1e6
    assert taken <= least
    roomy = int(1.2 * least)
    assert peak(features, name, roomy, monkeypatch) <= roomy
    assert capsys.readouterr().err == ""


def dense_similarities(given, eps, num_dims):
    """Each kernel between all samples, from gradients and Hessian diagonals written out in full."""
    gradients = given.dense_gradients().flatten(1).numpy()
    p, augmented = probabilities(given.features.logits).numpy(), augment(given.features.embeddings).numpy()
    curvatures = ((p * (1 - p))[:, :, None] * augmented[:, None] ** 2).reshape(len(p), -1)
    kept = curvatures[:, np.argsort(-curvatures.var(axis=0))[:num_dims]]
    away = {
        "grad_l2": pairwise_distances(gradients),
        "worst": pairwise_distances(gradients) + eps * pairwise_distances(kept, metric="manhattan"),
    }
    return {
        "cosine": 0.5 + 0.5 * cosine_similarity(gradients),
        **{kernel: distances.max() - distances for kernel, distances in away.items()},
    }


@pytest.mark.parametrize("kernel", ["cosine", "worst", "grad_l2"])
def test_fault_the_kernel_acts_unbalanced(kernel):
    """Facility location over the kernel asked for, by trying everything; its picks are not another kernel's."""
    given = problem(n=40)
    similarities = dense_similarities(given, eps=0.5, num_dims=8)
    expected = {name: facility_location(similarity, 10) for name, similarity in similarities.items()}
    options = {"kernel": kernel, "submodular": "FacilityLocation", "eps": 0.5, "num_dims": 8}
    coreset = selected(given.features, "Submodular", options, balance=False)
    assert coreset.indices.tolist() == expected[kernel]
    assert all(expected[kernel] != expected[other] for other in similarities if other != kernel)


def facility_location(similarity, budget):
    picked = []
    while len(picked) < budget:
        left = [i for i in range(len(similarity)) if i not in picked]
        picked.append(max(left, key=lambda i: similarity[:, [*picked, i]].max(axis=1).sum()))
    return picked


def test_fault_the_log_determinants_gain_is_the_whole_of_it():
    """log(S_xx − S_xA S_AA⁻¹ S_Ax), and not its subtracted term alone: gains add up to log det S_AA."""
    given = problem(n=20, d=8)
    options = {"submodular": "LogDeterminant", "kernel": "cosine"}
    coreset = selected(given.features, "Submodular", options, balance=False, fraction=0.3)
    similarity = dense_similarities(given, eps=0, num_dims=1)["cosine"]
    for k in range(1, len(coreset) + 1):
        block = similarity[np.ix_(coreset.indices[:k], coreset.indices[:k])]
        assert coreset.gains[:k].sum() == pytest.approx(np.linalg.slogdet(block)[1], abs=1e-8)


def test_fault_approximate_lazy_greedy_ends_on_negative_gains():
    features = problem(n=40).features
    options = {"submodular": "GraphCut", "kernel": "cosine", "greedy": "ApproximateLazyGreedy"}
    coreset = selected(features, "Submodular", options, balance=False, fraction=1.0)
    assert coreset.gains.min() < 0
    assert sorted(coreset.indices) == list(range(40))


def test_fault_picks_come_in_the_order_picked_not_sorted():
    features = problem(n=40).features
    for name in ("Craig", "GradMatch", "Glister", "Herding", "Cal", "Uncertainty", "GraNd"):
        picks = selected(features, name, {}, balance=False).indices
        assert (np.diff(picks) < 0).any()


def test_every_method_is_a_frozen_value():
    for name, method in METHODS.items():
        assert dataclasses.is_dataclass(method), name
        assert method() == method()
        with pytest.raises(dataclasses.FrozenInstanceError):
            method().source = "elsewhere"
