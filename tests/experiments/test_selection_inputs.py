import pytest
import torch
from method_problems import problem

from experiments.selection_inputs import compute_scores, gather
from methods import METHODS, make_method
from methods.base import Need
from methods.grand import mean_gradient_norms
from utils.errors import UserError
from utils.training.training_trace import TrainingTrace

FEATURES = problem(n=12).features
TRACE = TrainingTrace.of_one_look(FEATURES.logits, FEATURES.labels)
HELD_OUT = problem(n=5, seed=1).features


def gathered(name, **options):
    """The inputs for a method, and which of the callables were called for it."""
    called = []

    def source(name, value):
        def compute():
            called.append(name)
            return value

        return compute

    def scores(method):
        return compute_scores(
            method,
            trace=source("trace", TRACE),
            repeats=source("repeats", [FEATURES, FEATURES]),
            perturbations=source("perturbations", torch.ones(12)),
        )

    method = make_method(name, **options)
    inputs = gather(
        method,
        FEATURES.labels,
        features=source("features", FEATURES),
        scores=scores,
        difficulty=source("difficulty", torch.arange(12.0)) if Need.DIFFICULTY in method.needs else None,
        pretrained=source("pretrained", torch.zeros(12, 2)),
        validation=source("validation", HELD_OUT),
    )
    return inputs, called


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("Uniform", {}, []),
        ("Full", {}, []),
        *((name, {}, ["features"]) for name in ("LCMat", "Submodular", "AdaCore", "Craig", "Herding", "Uncertainty")),
        *((name, {}, ["features"]) for name in ("ContextualDiversity", "kCenterGreedy", "Cal")),
        *((name, {}, ["features", "validation"]) for name in ("GradMatch", "Glister")),
        *((name, {}, ["trace"]) for name in ("Forgetting", "EL2N", "AUM", "Loss", "Confidence", "DynUnc")),
        ("GraNd", {}, ["repeats"]),
        ("DeepFool", {}, ["perturbations"]),
        ("CCS", {}, ["difficulty"]),
        ("D2", {}, ["difficulty", "features"]),
        ("D2", {"pretrained": True}, ["difficulty", "pretrained"]),
        ("kCenterGreedy", {"pretrained": True}, ["pretrained"]),
        ("Cal", {"pretrained": True}, ["features", "pretrained"]),
    ],
)
def test_only_what_a_method_needs_is_computed(name, options, expected):
    inputs, called = gathered(name, **options)
    assert sorted(called) == expected
    assert (inputs.features is not None) == ("features" in expected)
    assert (inputs.validation is not None) == ("validation" in expected)
    assert (inputs.pretrained is not None) == ("pretrained" in expected)
    assert (inputs.difficulty is not None) == ("difficulty" in expected)
    assert (inputs.scores is not None) == bool({"trace", "repeats", "perturbations"} & set(expected))


def test_scores_are_what_their_source_gave():
    assert gathered("AUM")[0].scores.tolist() == TRACE.margin[0].tolist()
    assert gathered("DeepFool")[0].scores.tolist() == [1.0] * 12
    torch.testing.assert_close(gathered("GraNd")[0].scores, mean_gradient_norms([FEATURES]))


def gathered_plainly(name, scores):
    return gather(make_method(name), FEATURES.labels, features=lambda: FEATURES, scores=lambda method: scores)


def test_without_held_out_samples_there_is_no_validation():
    assert gathered_plainly("Glister", torch.zeros(12)).validation is None


def test_scores_of_another_length_are_refused():
    with pytest.raises(UserError, match="one number for each of the 12 samples"):
        gathered_plainly("DeepFool", torch.zeros(11))


def test_every_method_declares_its_source_and_its_needs():
    for method in METHODS.values():
        assert method.source
        assert set(method().needs) <= set(Need)
    by_embeddings = ["Herding", "kCenterGreedy", "Moderate", "D2", "Prototypicality"]
    assert [name for name, method in METHODS.items() if method.need == (Need.EMBEDDINGS,)] == by_embeddings
    assert [name for name, method in METHODS.items() if method.need == (Need.LOGITS,)] == [
        *("ContextualDiversity", "Uncertainty"),
    ]
