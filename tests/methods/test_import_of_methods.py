"""What the library call imports beside torch: no other package, no data set, no command line, no training."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, numpy, torch
before = set(sys.modules)
from methods import select_coreset
print(*(set(sys.modules) - before))
"""


def test_the_library_call_imports_little_beside_torch():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    packages = {name.partition(".")[0] for name in modules}
    assert packages - set(sys.stdlib_module_names) <= {"methods", "nets", "utils", "numpy", "torch"}
    assert not [name for name in modules if name.startswith(("utils.training", "utils.records", "utils.config"))]
    values = {f"utils.data.{name}" for name in ("coreset", "origin", "partitioned", "training_set")}
    assert {name for name in modules if name.startswith("utils.data.")} <= values, "no loader"
