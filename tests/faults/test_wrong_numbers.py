"""A loss that is no number stops the run in one line; the table counts the run as failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from attempts import attempt
from outcomes import litter, outcome
from reference_runs import COMMANDS, UNIFORM, Undisturbed

from utils.errors import UserError
from utils.records.tables import load_table


@pytest.mark.parametrize(
    ("command", "flag"), [(COMMANDS["LCMat"], "--selection_lr"), (UNIFORM, "--lr")], ids=["proxy", "retraining"]
)
@pytest.mark.parametrize("rate", ["1e20", "1e38"])
def test_a_diverging_training(uniform: Undisturbed, tmp_path: Path, command: str, flag: str, rate: str) -> None:
    assert attempt(f"{uniform.command} --save_path {tmp_path}").status == 0
    finished = load_table([tmp_path]).markdown()
    for _ in range(2):
        ended = attempt(f"{command} {flag} {rate} --checkpoint_interval 0 --save_path {tmp_path}")
        assert "loss became" in ended.error
        assert f"in epoch 1 at lr {float(rate):g}; try a smaller --lr (for the proxy --selection_lr)" in ended.error
        table = load_table([tmp_path]).markdown()
        assert table.startswith(finished.rstrip())
        assert "1 failed" in table
    assert not litter(tmp_path)


def test_a_run_that_failed_is_done_where_it_no_longer_does(told: Undisturbed, tmp_path: Path) -> None:
    """As where what diverged was the machine's arithmetic."""
    assert attempt(f"{told.command} --save_path {tmp_path}", diverge).status == 2
    with pytest.raises(UserError, match="1 failed"):
        load_table([tmp_path])
    assert attempt(f"{told.command} --save_path {tmp_path}").status == 0
    assert outcome(tmp_path) == told.outcome


def diverge() -> None:
    """Every loss is infinite."""
    from utils.training import trainer as training

    training.full_precision = lambda logits: logits.float() * float("inf")  # type: ignore[attr-defined]
