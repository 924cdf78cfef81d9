"""Features by batch statistics of a single class, against one batch at a time in training mode."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_data import make_data

import nets
from experiments.features_by_class import features_by_class, has_batch_statistics
from utils.data.batches import Batches
from utils.distributed import SINGLE_PROCESS

DATA = make_data()
CPU = torch.device("cpu")


def network(name: str) -> nets.Network:
    torch.manual_seed(0)
    made = nets.build(name, 1, 3, 8)
    with torch.no_grad():  # running statistics that differ from those of any batch
        for _ in range(3):
            made.train()(torch.randn(16, 1, 8, 8))
    return made.eval()


@pytest.mark.parametrize("name", ["ResNet8", "MLP"])
@pytest.mark.parametrize("size", [7, 64, 1])
def test_the_literal_twin(name, size):
    own, labels = network(name), DATA.train.labels[DATA.pool]
    before = copy.deepcopy(own.state_dict())

    def batches(members: torch.Tensor) -> Batches:
        return Batches(DATA.train, DATA.spec, DATA.pool[members], size, device=CPU)

    features = features_by_class(own, labels, size, batches, SINGLE_PROCESS)
    twin = copy.deepcopy(own).train()
    for label in range(3):
        for part in (labels == label).nonzero()[:, 0].split(size):
            [batch] = Batches(DATA.train, DATA.spec, DATA.pool[part], size, device=CPU)
            with torch.no_grad():
                z = twin.embed(batch.x)
            torch.testing.assert_close(features.embeddings[part], z, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(features.logits[part], twin.classifier(z), rtol=1e-5, atol=1e-6)
            assert features.shares is not None
            assert features.shares[part].tolist() == [torch.tensor(1 / len(part)).item()] * len(part)
    assert torch.equal(features.labels, labels)
    for key, value in own.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(module.training for module in own.modules())


def test_which_networks_have_batch_statistics():
    assert has_batch_statistics(network("ResNet8"))
    assert not has_batch_statistics(network("MLP"))
    assert not has_batch_statistics(network("ConvNet"))
