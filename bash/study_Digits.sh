#!/usr/bin/env bash
# bash/study.sh on the bundled digits, 20 seeds: minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DATASET=Digits MODEL=${MODEL:-MLP} FRACTIONS=${FRACTIONS:-0.01,0.05,0.2:100} BATCH=${BATCH:-32}
export SEEDS=${SEEDS:-0} NUM_EXP=${NUM_EXP:-20} LR=${LR:-0.05} PROXY_LR=${PROXY_LR:-0.05}
export PROXY_BATCH=${PROXY_BATCH:-32} SAVE_PATH=${SAVE_PATH:-$PWD/result/study_Digits} JOBS=${JOBS:-2}
exec bash bash/study.sh "$@"
