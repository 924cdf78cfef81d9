"""The point at which the loss is looked at: temperatures, and the rule that finds one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods import select_coreset
from methods.features import Features
from methods.scoring import at_temperature, auto_temperature, read_temperature
from utils.errors import UserError


def sure_proxy(scale: float, n: int = 200, wrong: int = 20) -> Features:
    """Features of a proxy that is right but on ``wrong`` samples, the surer the larger ``scale``."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 4
    logits = random.normal(size=(n, 4))
    logits[np.arange(n), labels] += 3
    logits[:wrong, 0] += 6
    return Features.of(random.normal(size=(n, 5)), scale * logits, labels)


def sure_share(features: Features, temperature: float) -> float:
    """The share of the samples with ‖p − y‖ < ½, written out."""
    p = (features.logits / temperature).softmax(dim=1)
    y = torch.eye(p.shape[1], dtype=p.dtype)[features.labels]
    return float(((p - y).square().sum(dim=1).sqrt() < 0.5).double().mean())


@pytest.mark.parametrize("scale", [1, 3, 10, 100])
def test_auto_is_the_least_temperature_at_which_few_samples_are_sure(scale):
    features = sure_proxy(scale)
    found = auto_temperature(features)
    assert sure_share(features, found * 1.01) <= 0.05
    assert sure_share(features, found * 0.98) > 0.05
    assert found == float(f"{found:.3g}")


def test_auto_goes_with_the_scale_of_the_logits():
    assert auto_temperature(sure_proxy(30)) == pytest.approx(10 * auto_temperature(sure_proxy(3)), rel=0.01)


def test_auto_leaves_an_unsure_proxy_as_it_is():
    assert auto_temperature(sure_proxy(0.01)) == 1
    one_class = Features.of(np.ones((3, 2)), np.ones((3, 1)), np.zeros(3, dtype=int))
    assert auto_temperature(one_class) == 1


def test_auto_is_stable_over_parts_of_the_samples():
    features = sure_proxy(10, n=4000, wrong=400)
    parts = [
        features.subset(part) for part in torch.randperm(4000, generator=torch.Generator().manual_seed(0)).split(1000)
    ]
    found = [auto_temperature(part) for part in parts]
    assert max(found) / min(found) < 1.2


def test_the_library_divides_logits():
    features = sure_proxy(5)
    known = {"embeddings": features.embeddings, "labels": features.labels, "fraction": 0.1, "num_dims": 7}
    divided = select_coreset("LCMat", logits=features.logits / 4, **known)
    at_four = select_coreset("LCMat", logits=features.logits, temperature=4, **known)
    assert at_four.indices.tolist() == divided.indices.tolist()
    auto = select_coreset("LCMat", logits=features.logits, temperature="auto", **known)
    found = auto_temperature(features)
    assert (
        auto.indices.tolist()
        == select_coreset("LCMat", logits=features.logits, temperature=found, **known).indices.tolist()
    )


def test_a_sure_proxy_misleads_and_a_temperature_helps():
    features = sure_proxy(10)
    wrong = features.logits.argmax(dim=1) != features.labels
    known = {
        "embeddings": features.embeddings,
        "logits": features.logits,
        "labels": features.labels,
        "fraction": 0.1,
        "eps": 0.01,
    }
    shares = [
        wrong[select_coreset("LCMat", temperature=temperature, **known).indices.copy()].double().mean()
        for temperature in (1, "auto")
    ]
    assert shares[0] > 2 * shares[1]


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "hot", True, None])
def test_what_is_no_temperature_is_refused(temperature):
    features = sure_proxy(1)
    with pytest.raises(UserError, match="temperature"):
        select_coreset(
            "LCMat",
            embeddings=features.embeddings,
            logits=features.logits,
            labels=features.labels,
            fraction=0.1,
            temperature=temperature,
        )


def test_temperatures_are_read():
    assert read_temperature("AUTO") == "auto"
    assert read_temperature("2.5") == 2.5
    for text in ("0", "-1", "nan", "inf", "warm"):
        with pytest.raises(UserError, match="number in"):
            read_temperature(text)


def test_at_one_nothing_is_copied():
    features = sure_proxy(1)
    assert at_temperature(features, 1.0) is features
