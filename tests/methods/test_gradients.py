import pytest
import torch
from method_problems import problem

from methods.features import Features
from methods.gradients import Gradients
from utils.errors import UserError


def test_products_and_norms_are_those_of_the_dense_gradients():
    given = problem(n=20, d=4, C=3)
    dense = given.dense_gradients()  # [n, C, d + 1]
    gradients = Gradients.of(given.features)
    direction = torch.linspace(-1, 1, 15, dtype=torch.float64).view(3, 5)
    torch.testing.assert_close(gradients.mean(), dense.mean(dim=0))
    torch.testing.assert_close(gradients.inner(direction), (dense * direction).sum(dim=(1, 2)))
    torch.testing.assert_close(gradients.squared_norms(), dense.square().sum(dim=(1, 2)))
    assert len(gradients) == 20


def test_gradients_that_overflow_are_refused():
    features = Features.of(torch.full((2, 1), 1e200, dtype=torch.float64), torch.zeros(2, 2).double(), torch.arange(2))
    with pytest.raises(UserError, match="overflow"):
        Gradients.of(features)
