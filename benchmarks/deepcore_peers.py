"""DeepCore's own selections on given features, from a clone of github.com/PatrickZH/DeepCore.

Its methods train a network, then select. Here an object of its class is made without its training, what its networks
would have computed (embeddings, logits, gradients) is put in, and its own code selects.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from methods.contextualdiversity import clamped_probabilities
from methods.features import Features
from methods.kcentergreedy import first_centre
from utils.errors import UserError

_BATCH, _NEIGHBOURS = 128, 10  # its defaults


class DeepCore:
    """DeepCore's methods on features.

    Args:
        folder: a clone.
        features: of the n samples to select from, all at once.
        budget: how many.

    Attributes:
        gradients: of the last layer, as DeepCore holds them, float32 [n, C (d + 1)].
        scores: the losses, which stand in for what a training would count, [n].
        selections: by the class of the method here: what of DeepCore it is, and a call that selects, int64 [k].

    Raises:
        UserError: no clone is there.
    """

    def __init__(self, folder: Path, features: Features, budget: int) -> None:
        if not (folder / "deepcore/methods").is_dir():
            raise UserError(f"{folder} is no clone of github.com/PatrickZH/DeepCore; it has no deepcore/methods")
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        self.features, self.budget, factors = features, budget, features.gradients()
        self.gradients = (factors.residuals[:, :, None] * factors.augmented[:, None, :]).flatten(1).float()
        self.scores = F.cross_entropy(features.logits, features.labels, reduction="none")
        self.selections: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
            "Craig": ("Craig", self.craig),
            "Submodular": ("Submodular: GraphCut, cossim", self.submodular),
            "GradMatch": ("GradMatch: OMP (numpy)", self.gradmatch),
            "Glister": ("Glister", self.glister),
            "Herding": ("Herding", self.herding),
            "KCenterGreedy": ("k_center_greedy", self.kcenter),
            "ContextualDiversity": ("ContextualDiversity", self.diversity),
            "Cal": ("Cal", self.cal),
            "Uncertainty": ("Uncertainty", self.uncertainty),
            "Forgetting": ("Forgetting: sort", self.forgetting),
            "GraNd": ("GraNd: sort", self.grand),
        }

    def lazy(self, function: str, similarity: np.ndarray) -> np.ndarray:
        """Return the picks of its lazy greedy for its set function on similarities [n, n]."""
        from deepcore.methods.methods_utils import submodular_function, submodular_optimizer

        everyone = np.arange(len(similarity))
        maximised = getattr(submodular_function, function)(index=everyone, similarity_matrix=similarity)
        greedy = submodular_optimizer.LazyGreedy(self._arguments(), everyone, self.budget)
        with redirect_stdout(io.StringIO()):
            return greedy.select(gain_function=maximised.calc_gain, update_state=maximised.update_state)

    def craig(self) -> np.ndarray:
        """Return the picks of Craig from all samples as one class: unbalanced, it compares within classes only."""
        from deepcore.methods.methods_utils import euclidean_dist_pair_np

        def distances(index: np.ndarray) -> np.ndarray:
            return euclidean_dist_pair_np(self.gradients.numpy()[index])

        return self._select("Craig", balance=True, args=self._arguments(num_classes=1), calc_gradient=distances)

    def submodular(self) -> np.ndarray:
        """Return the picks for graph cut by cosines."""
        return self._select("Submodular", _function="GraphCut", calc_gradient=lambda: self.gradients.numpy())

    def gradmatch(self) -> np.ndarray:
        """Return the picks of its pursuit in numpy; the one in torch needs cuda and torch.lstsq."""
        return self._select("GradMatch", dst_val=None, calc_gradient=lambda: self.gradients)

    def glister(self) -> np.ndarray:
        """Return the picks of Glister; its step after each pick is passed by a misspelled name, and never taken."""
        given = {"train_grads": self.gradients, "val_grads": self.gradients.mean(dim=0)}
        return self._select("Glister", dst_val=None, n_val=0, calc_gradient=lambda **_: None, **given)

    def herding(self) -> np.ndarray:
        """Return the picks of Herding."""
        from deepcore.methods.methods_utils import euclidean_dist

        return self._select("Herding", metric=euclidean_dist, construct_matrix=lambda: self.features.embeddings)

    def kcenter(self) -> np.ndarray:
        """Return the picks of k-center."""
        from deepcore.methods.methods_utils import euclidean_dist

        return self._centres(self.features.embeddings, euclidean_dist)

    def diversity(self) -> np.ndarray:
        """Return the picks of k-center by divergence of probabilities."""
        from deepcore.methods import ContextualDiversity

        p = clamped_probabilities(self.features).float()
        return self._centres(p, lambda a, b: ContextualDiversity._metric(None, a, b))

    def _centres(self, matrix: torch.Tensor, metric: Callable[..., torch.Tensor]) -> np.ndarray:
        from deepcore.methods.kcentergreedy import k_center_greedy

        first, never = [first_centre(len(matrix), seed=0)], 10 * self.budget
        old_name = patch.object(np, "in1d", np.isin, create=True)  # numpy 2.4 has it no more
        with redirect_stdout(io.StringIO()), old_name:
            return k_center_greedy(matrix, self.budget - 1, metric, "cpu", already_selected=first, print_freq=never)

    def cal(self) -> np.ndarray:
        """Return the picks of Cal; its nearest neighbours as it finds them, in the same embeddings."""
        from deepcore.methods.cal import euclidean_dist_pair_np

        distances = euclidean_dist_pair_np(self.features.embeddings.numpy())
        near = np.argsort(distances, axis=1)[:, 1 : _NEIGHBOURS + 1]
        return self._select("Cal", knn=near, neighbors=_NEIGHBOURS)

    def uncertainty(self) -> np.ndarray:
        """Return the picks by entropy from all samples as one class: unbalanced, it takes the surest."""
        arguments = self._arguments(num_classes=1)
        return self._select("Uncertainty", balance=True, args=arguments, selection_method="Entropy")

    def forgetting(self) -> np.ndarray:
        """Return the samples of the highest scores."""
        return self._select("Forgetting", "select", run=lambda: None, forgetting_events=self.scores)

    def grand(self) -> np.ndarray:
        """Return the samples of the highest mean score over one training."""
        made = self._made("GraNd", repeat=1, random_seed=0)
        made.run = lambda: made.norm_matrix[:, 0].copy_(self.scores)
        return made.select()["indices"]

    def _arguments(self, **others: Any) -> SimpleNamespace:
        """Return what its command line would give."""
        classes, never = self.features.logits.shape[1], 10 * len(self.features)
        usual = {"device": "cpu", "print_freq": never, "workers": 0, "selection_batch": _BATCH, "num_classes": classes}
        return SimpleNamespace(**(usual | others))

    def _select(self, name: str, by: str = "finish_run", **attributes: Any) -> np.ndarray:
        made = self._made(name, **attributes)
        with redirect_stdout(io.StringIO()):
            return getattr(made, by)()["indices"]

    def _made(self, name: str, **attributes: Any) -> Any:
        """Return an object of a class of DeepCore's with the logits as its images, and these attributes."""
        from deepcore import methods

        network = nn.Identity()  # of the logits
        network.embedding_recorder = nullcontext()  # type: ignore[assignment]
        images = TensorDataset(self.features.logits, self.features.labels)
        images.targets = np.zeros(len(self.features))  # type: ignore[attr-defined]  # where all are one class
        made = getattr(methods, name).__new__(getattr(methods, name))
        vars(made).update(
            args=self._arguments(),
            model=network,
            dst_train=images,
            n_train=len(self.features),
            train_indx=np.arange(len(self.features)),
            coreset_size=self.budget,
            fraction=self.budget / len(self.features),
            balance=False,
            _greedy="LazyGreedy",
        )
        vars(made).update(attributes)
        return made
