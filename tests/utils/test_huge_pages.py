"""Large tensors are asked for in huge pages, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import torch
import methods, nets, utils
print(torch.empty(32 << 20, dtype=torch.uint8).data_ptr() % 4096)
"""


@pytest.mark.parametrize(("setting", "aligned"), [({}, True), ({"THP_MEM_ALLOC_ENABLE": "0"}, False)])
def test_tensors_begin_with_a_page_where_huge_ones_are_asked_for(setting, aligned):
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"} | setting
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert (int(done.stdout) == 0) == aligned
