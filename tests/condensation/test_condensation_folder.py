"""The folder of a condensation: what a picture that cannot be drawn does to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from condensing import config

from condensation.condensation_folder import CondensationFolder
from utils.records import contact_sheet


def test_a_picture_that_cannot_be_drawn_costs_a_line_and_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> bytes:
        raise OSError("cannot open\nresource")  # as of a font that is not there

    monkeypatch.setattr(contact_sheet, "synthetic_sheet", fail)
    with CondensationFolder(config(), tmp_path) as folder:
        folder.show(None, (), ("a", "b", "c"))  # type: ignore[arg-type]
        assert (folder.path / "history.csv").exists()
        assert not (folder.path / "synthetic.png").exists()
    assert capsys.readouterr().err == "warning: synthetic.png could not be drawn: cannot open resource\n"
