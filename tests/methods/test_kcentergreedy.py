import itertools

import numpy as np
import pytest
import torch
from method_problems import inputs, on_cpu, problem
from sklearn.metrics import pairwise_distances

from methods import select_coreset
from methods.base import SelectionInputs
from methods.features import Features
from methods.kcentergreedy import KCenterGreedy, euclidean, farthest_first, first_centre
from utils.errors import UserError


def literal(distances, first, budget):
    picked = [first]
    while len(picked) < budget:
        left = [i for i in range(len(distances)) if i not in picked]
        picked.append(max(left, key=lambda i: (min(distances[i][j] for j in picked), -i)))
    return picked


def test_by_hand():
    positions = torch.tensor([0.0, 1.0, 2.0, 5.0, 10.0], dtype=torch.float64)
    picks = farthest_first(lambda centre: (positions - positions[centre]).abs(), first=1, budget=4)
    assert picks.indices.tolist() == [1, 4, 3, 0]  # 0 and 2 are equally far from 1: the lower index


@pytest.mark.parametrize("seed", range(4))
def test_against_a_literal_loop(seed):
    features = problem(n=30, d=4, seed=seed).features
    picks = KCenterGreedy().pick(inputs(features), 30, on_cpu(seed)).indices.tolist()
    assert picks == literal(pairwise_distances(features.embeddings.numpy()), picks[0], 30)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-3])
def test_copies_with_noise_far_from_the_origin_against_a_literal_loop(noise, offset):
    random = torch.Generator().manual_seed(1)
    z = torch.randn(8, 5, generator=random, dtype=torch.float64)[torch.arange(40) % 8] + offset
    z += noise * torch.randn(z.shape, generator=random, dtype=torch.float64)
    expected = (z[:, None] - z).square().sum(dim=2).sqrt().numpy()
    found = torch.stack([euclidean(z)(centre) for centre in range(40)]).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15 * max(offset, 1))
    picks = farthest_first(euclidean(z), 3, 40 if noise else 8).indices.tolist()
    assert picks == literal(expected, 3, len(picks))


def test_embeddings_whose_squares_overflow_are_refused():
    z = torch.tensor([[1e200], [-1e200]], dtype=torch.float64)
    with pytest.raises(UserError, match="too large"):
        KCenterGreedy(pretrained=True).pick(SelectionInputs(torch.zeros(2).long(), pretrained=z), 1, on_cpu())


def test_everything_is_within_twice_the_least_covering_radius():
    distances = pairwise_distances(problem(n=12, d=2).features.embeddings.numpy())
    least = min(distances[:, list(centres)].min(axis=1).max() for centres in itertools.combinations(range(12), 3))
    picks = KCenterGreedy().pick(inputs(problem(n=12, d=2).features), 3, on_cpu()).indices
    assert distances[:, picks].min(axis=1).max() <= 2 * least


def test_the_first_centre_is_random_and_seeded():
    firsts = [first_centre(50, seed) for seed in range(40)]
    assert firsts == [first_centre(50, seed) for seed in range(40)]
    assert len(set(firsts)) > 15
    assert all(0 <= first < 50 for first in firsts)


def test_memory_is_linear_one_row_of_distances_at_a_time():
    calls = []

    def distances(centre):
        calls.append(centre)
        return torch.arange(6, dtype=torch.float64).sub(centre).abs()

    picks = farthest_first(distances, first=0, budget=4)
    assert calls == picks.indices.tolist()


def test_copies_of_picked_samples_come_last_in_index_order():
    z = torch.tensor([[0.0], [0.0], [3.0], [0.0], [3.0]], dtype=torch.float64)
    picks = farthest_first(lambda c: (z - z[c])[:, 0].abs(), first=0, budget=5)
    assert picks.indices.tolist() == [0, 2, 1, 3, 4]


def test_embeddings_decide_and_logits_do_not():
    features = problem(n=30).features
    other = Features.of(features.embeddings, features.logits.flip(0) * 3, features.labels)
    of_either = [KCenterGreedy().pick(inputs(each), 10, on_cpu()).indices.tolist() for each in (features, other)]
    assert of_either[0] == of_either[1]


def test_pretrained_embeddings_take_the_place_of_the_proxys():
    features = problem(n=30).features
    pretrained = problem(n=30, d=7, seed=9).features.embeddings
    given = SelectionInputs(features.labels, pretrained=pretrained)
    picks = KCenterGreedy(pretrained=True).pick(given, 10, on_cpu()).indices.tolist()
    assert picks == literal(pairwise_distances(pretrained.numpy()), picks[0], 10)


def test_pretrained_embeddings_are_split_by_class_with_the_rest():
    given = SelectionInputs(torch.tensor([0, 1, 0]), pretrained=torch.arange(3.0)[:, None])
    assert given.subset(torch.tensor([0, 2])).pretrained.tolist() == [[0.0], [2.0]]


def test_a_library_call_with_pretrained_says_what_to_give_instead():
    features = problem().features
    with pytest.raises(UserError, match="pass those embeddings as embeddings="):
        select_coreset(
            "kCenterGreedy",
            embeddings=features.embeddings,
            logits=features.logits,
            labels=np.asarray(features.labels),
            fraction=0.2,
            pretrained=True,
        )
