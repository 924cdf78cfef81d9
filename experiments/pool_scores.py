"""How hard each of the images to select from is: by a file, by the trace of the proxy's training, or by its outputs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from experiments.pool_features import PoolFeatures
from experiments.proxies import Proxies
from experiments.scores_file import GivenScores, load_scores, trace_scores
from experiments.selection_inputs import compute_scores
from methods import SCORES
from methods.score_method import ScoreMethod, TraceMethod
from utils.config import RunConfig
from utils.data.coreset_formats import MADE_OF
from utils.data.load import Data
from utils.execution import ExecutionConfig
from utils.training.training_trace import TrainingTrace


class PoolScores:
    """Scores of the images of ``data.pool``, computed when they are first asked for, and all that were asked for.

    Args:
        run: whose selection looks at them.
        data: the images.
        execution: says which file they come from, if they do, and whether all are to be kept.
        proxies: the networks whose training or outputs they come from.
        features: these outputs.
    """

    def __init__(
        self, run: RunConfig, data: Data, execution: ExecutionConfig, proxies: Proxies, features: PoolFeatures
    ) -> None:
        self.run, self.config, self.data, self.execution = run, run.selection, data, execution
        self.proxies, self.features = proxies, features
        self._known: dict[str, Tensor] = {}  # by name

    def of(self, method: ScoreMethod) -> Tensor:
        """Return the scores by ``method``, [n]: from the file given, else from what the method needs."""
        if self._given is not None:
            scores = self._given.score(method)
        else:
            features = self.features
            scores = compute_scores(
                method, trace=self._trace, repeats=features.repeats, perturbations=features.perturbations
            )
            if isinstance(method, TraceMethod):
                self._known.update(trace_scores(self._trace()))
        self._known[type(method).__name__] = scores
        return scores

    def difficulty(self) -> Tensor:
        """Return how hard each image is, [n]."""
        if self._given is not None:
            self._known.update(self._given.columns)
            return self._given.difficulty(self.config.score)
        method = SCORES[str(self.config.score)]()
        return method.difficulty(self.of(method))

    def known(self) -> dict[str, np.ndarray]:
        """Return the scores that the selection looked at, float64 [n] by name, and of which images they are.

        With the trace of a proxy these are all that it gives. Empty where the selection looked at none, unless
        --save_scores asks for those of the proxy.
        """
        if self.execution.save_scores and self.config.proxy is not None and self.config.proxy_file is None:
            self._known.update({**trace_scores(self._trace()), **self._known})
        if not self._known:
            return {}
        pool = self.data.pool
        where = {"indices": pool.numpy(), "labels": self.data.train.labels[pool].numpy()}
        if self.run.data.train_images is not None:
            where[MADE_OF] = np.array(self.run.data.train_images)
        return {**where, **{name: values.cpu().numpy() for name, values in self._known.items()}}

    @cached_property
    def _given(self) -> GivenScores | None:
        """The scores of a file that stand in for those of a proxy."""
        if self.config.scores is None or self.execution.scores is None:
            return None
        return load_scores(Path(self.execution.scores), self.data, self.run.data)

    def _trace(self) -> TrainingTrace:
        """Return the trace of the proxy's training; of no training (-se 0), one look at the network."""
        trace = self.proxies.trace
        if trace is not None:
            return trace
        seen = self.features.of(self.proxies.proxy, self.data.pool)
        return TrainingTrace.of_one_look(seen.logits, seen.labels)
