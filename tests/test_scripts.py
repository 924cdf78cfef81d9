"""What the scripts in bash/ must have in common."""

from __future__ import annotations

import re
from pathlib import Path

SCRIPTS = {path.name: path.read_text() for path in Path(__file__).parents[1].glob("bash/*.sh")}


def test_lcmat_has_one_eps_in_all_scripts():
    """One script sets EPS; each that starts a selection by name hands it on, never a number of its own."""
    assert [name for name, text in SCRIPTS.items() if re.search(r"\bEPS:?=", text)] == ["setup.sh"]
    select = {name: text for name, text in SCRIPTS.items() if re.search('--selection (LCMat|"[$])', text)}
    assert {"quickstart.sh", "sweep.sh", "study.sh", "condense_Digits.sh", "cross_Digits.sh"} <= select.keys()
    for text in select.values():
        assert set(re.findall(r"--eps [^ )]+", text)) == {'--eps "$EPS"'}
