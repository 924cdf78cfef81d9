"""A network, and the coresets that are looked at around it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import nets
from utils.data.coreset import Coreset
from utils.data.load import Data
from utils.records.run_folder import FinishedRun


@dataclass(frozen=True, eq=False)
class View:
    """A network in evaluation mode, and coresets of the data that it is looked at with.

    Attributes:
        coresets: by what figures and tables call them.
        runs: of a coreset, where it was given as a run.
    """

    model: str
    seed: int
    data: Data
    network: nets.Network
    coresets: Mapping[str, Coreset]
    runs: Mapping[str, FinishedRun] = dataclasses.field(default_factory=dict)

    def digest(self) -> str:
        """Return hex digits that change with the data, any parameter or any coreset."""
        content = self._network()
        for name, coreset in self.coresets.items():
            content.update(f"{name} {coreset.digest()}".encode())
        return content.hexdigest()

    def network_digest(self) -> str:
        """Return hex digits that change with the data or any parameter."""
        return self._network().hexdigest()

    def _network(self) -> hashlib._Hash:
        content = hashlib.sha256(self.data.fingerprint.encode())
        for value in self.network.state_dict().values():
            content.update(value.cpu().numpy().tobytes())
        return content
