"""CCS: random samples from every stratum of difficulty, without the hardest."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.base import Method, Need, PickSettings, SelectionInputs
from methods.prune import Prune
from methods.score_method import scaled
from utils.data.coreset import Coreset
from utils.errors import UserError
from utils.flags import flag, integer, number
from utils.seeding import generator


@dataclass(frozen=True)
class CCS(Method):
    """Leave out the share β of the hardest samples, then pick at random from strata of equal width in difficulty.

    Strata are visited from the smallest to the largest (algorithm 1). Each gives ⌊budget left / strata left⌋ samples,
    or all that it has. Fewer than β are left out where the budget asks for more than 1 − β. The authors' code takes
    strata over all classes (--balance no), and leaves out by AUM whatever the strata are of.

    Attributes:
        beta: β; the authors take 0.3 to keep 10 % of CIFAR-10 by AUM, and less to keep more.
        strata: how many.
    """

    source = "Zheng et al., Coverage-centric Coreset Selection for High Pruning Rates, ICLR 2023"
    need = (Need.DIFFICULTY,)

    beta: float = flag(0.3, "--beta", number("[0, 1)"), "CCS: how much of the hardest is left out", "B")
    strata: int = flag(50, "--strata", integer(1), "CCS: how many strata of difficulty", "N")

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1 or self.strata < 1:
            raise UserError(f"CCS takes beta in [0, 1) and strata from 1 up, not {self.beta!r} and {self.strata!r}")

    @property
    def nested(self) -> bool:
        """Return False: with a larger budget, strata give other shares."""
        return False

    def pick(self, inputs: SelectionInputs, budget: int, settings: PickSettings) -> Coreset:
        """Pick at random from every stratum."""
        difficulty = self.difficulty_of(inputs)
        n = len(difficulty)
        share = min(round(self.beta * n), n - budget) / n
        kept = Prune("hardest", share).kept(difficulty)  # [m]
        stratum = (scaled(difficulty[kept]) * self.strata).long().clamp(max=self.strata - 1)  # [m]
        shuffled = torch.randperm(len(kept), generator=generator(settings.seed, "strata")).to(kept.device)
        sizes = stratum.bincount(minlength=self.strata)
        picked = []
        for visited, each in enumerate(sizes.argsort(stable=True).tolist()):
            quota = min(int(sizes[each]), budget // (self.strata - visited))
            picked.append(shuffled[stratum[shuffled] == each][:quota])
            budget -= quota
        return Coreset(kept[torch.cat(picked)].cpu().numpy())
