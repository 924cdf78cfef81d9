#!/usr/bin/env bash
# bash/rivals.sh on the bundled digits, ten seeds: minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DATASET=Digits MODEL=${MODEL:-MLP} BUDGETS=${BUDGETS:-0.01,0.05:100} SEEDS=${SEEDS:-10}
export SAVE_PATH=${SAVE_PATH:-$PWD/result/rivals_Digits} JOBS=${JOBS:-2}
exec bash bash/rivals.sh "$@"
