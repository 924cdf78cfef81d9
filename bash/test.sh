#!/usr/bin/env bash
# Sets itself up and runs the tests; further arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare requirements-dev.txt

export OMP_NUM_THREADS=1  # one thread for each of the two test processes
"$PYTHON" -m pytest -q -n 2 --dist worksteal "$@"
