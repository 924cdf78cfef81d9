"""D2 pruning: difficulty is passed on between neighbours, then taken away around every pick."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Need, PickSettings, SelectionInputs
from methods.embedding_method import EmbeddingMethod, directions
from methods.neighbours import bands_within, neighbours, outer_distance
from methods.score_method import scaled
from methods.tie_breaking import first_highest
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.flags import flag, integer, number
from utils.threads import small_steps


@dataclass(frozen=True)
class D2(EmbeddingMethod):
    """Pick argmax_i x_i, again and again, on a graph that joins each sample and its k nearest neighbours.

    Forward: x_i = s_i + Σ_{j∈N(i)} exp(−γ_f d_ij²) s_j. Backward, after each pick k: x_j ← x_j − exp(−γ_r d_jk²) x_k
    for j ∈ N(k). N(i) holds i's nearest neighbours and the samples that i is one of. The paper tunes k and γ_r.

    Two scales are fixed here, so that one γ suits every network and score: s is the difficulty from 0 to 1, and d_ij
    the Euclidean distance of the directions z / ‖z‖. The authors' code takes both as they come, weighs messages by
    exp(−d_ij) and exp(−γ_r d_jk), and picks from each stratum of the score by itself.

    Attributes:
        neighbours: k.
        gamma_f: γ_f.
        gamma_r: γ_r.
    """

    source = (
        "Maharana et al., D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data Pruning, ICLR 2024"
    )
    need = (Need.EMBEDDINGS,)

    neighbours: int = flag(10, "--neighbours", integer(1), "D2: neighbours of a sample", "K")
    gamma_f: float = flag(1.0, "--gamma_f", number("[0, inf)"), "D2: decay of the forward messages with distance", "G")
    gamma_r: float = flag(1.0, "--gamma_r", number("[0, inf)"), "D2: decay of the backward messages with distance", "G")

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not (0 <= self.gamma_f < torch.inf and 0 <= self.gamma_r < torch.inf):
            given = f"{self.neighbours!r}, {self.gamma_f!r} and {self.gamma_r!r}"
            raise UserError(f"D2 takes neighbours from 1 up, gamma_f and gamma_r from 0 up, not {given}")

    @property
    def needs(self) -> tuple[Need, ...]:
        """Return difficulty beside embeddings."""
        return (*super().needs, Need.DIFFICULTY)

    def least_memory(self, inputs: SelectionInputs, n: int, budget: int) -> int:
        """Return the bytes of copies of the features, and of the graph while it is made."""
        return super().least_memory(inputs, n, budget) + 8 * n * 24 * self.neighbours

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick the sample of the most difficulty left, again and again."""
        u = directions(self.embeddings_of(inputs))
        s = scaled(self.difficulty_of(inputs))
        starts, ends, squares = graph(u, self.neighbours, settings.memory_budget)
        x = s.index_add(0, starts, (-self.gamma_f * squares).exp() * s[ends])  # [n]
        largest = float(x.max())
        first = [0, *starts.bincount(minlength=len(u)).cumsum(0).tolist()]  # where each sample's edges start
        backward = (-self.gamma_r * squares).exp()  # [edges]
        picked: list[int] = []
        gains: list[float] = []
        with small_steps(len(u)):
            for _ in range(budget):
                k = first_highest(x, scale=largest)
                picked.append(k)
                gains.append(float(x[k]))
                edges = slice(first[k], first[k + 1])
                x[ends[edges]] -= backward[edges] * gains[-1]
                x[k] = -torch.inf
        return Coreset(torch.tensor(picked, dtype=torch.int64).numpy(), gains=torch.tensor(gains).double().numpy())


def graph(u: Tensor, count: int, memory_budget: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the edges between samples and their ``count`` nearest neighbours, in both directions, by their start.

    Args:
        u: float64 [n, d].
        count: of neighbours; all other samples where there are fewer.
        memory_budget: bytes that the search may take, or None.

    Returns:
        starts and ends, int64 [edges], each pair once; squared distances, float64 [edges].
    """
    n, distance = len(u), outer_distance(u)
    pairs, squares = [], []
    for band in bands_within(distance, memory_budget, u):
        near = neighbours(distance, band, count)  # [r, k]
        away = u.new_empty(near.shape)  # [r, k]
        for column, ends in zip(away.T, near.T, strict=True):
            column.copy_((u[band] - u[ends]).square_().sum(dim=1))
        pairs += [(band[:, None] * n + near).flatten(), (near * n + band[:, None]).flatten()]
        squares += [away.flatten()] * 2
    edges, place = torch.cat(pairs).unique(return_inverse=True)
    lengths = u.new_zeros(len(edges)).scatter_(0, place, torch.cat(squares))
    return edges // n, edges % n, lengths
