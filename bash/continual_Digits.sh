#!/usr/bin/env bash
# The bundled digits in 5 steps with memories of 1, 2 and 10 images a class, both protocols and both bounds, 10 orders:
# a quarter of an hour of computing, shared out over two CPU cores.
# bash/continual.sh lists what the environment can override.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DATASET=Digits MODEL=${MODEL:-MLP} IPC=${IPC:-1 2 10} ORDERS=${ORDERS:-0 1 2 3 4 5 6 7 8 9}
export EPOCHS=${EPOCHS:-10} MEMORY_EPOCHS=${MEMORY_EPOCHS:-60} BATCH=${BATCH:-32} LR=${LR:-0.05} PROXY_BATCH=${PROXY_BATCH:-32} PROXY_LR=${PROXY_LR:-0.05}
export ITERATIONS=${ITERATIONS:-10} DM_ITERATIONS=${DM_ITERATIONS:-100} OUTER=${OUTER:-10} INNER=${INNER:-5}
export PIXEL_LR=${PIXEL_LR:-0.1} SAVE_PATH=${SAVE_PATH:-$PWD/result/continual_Digits} JOBS=${JOBS:-2}
exec bash bash/continual.sh "$@"
