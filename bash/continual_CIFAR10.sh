#!/usr/bin/env bash
# CIFAR10 in 5 steps, 20 images a class, two class orders, with a network that a CPU trains: ResNet8. IMAGES names a
# folder of train/<class>/* and test/<class>/*; without it CIFAR10 is downloaded. The defaults are what one core does in
# 20 minutes with --amp yes, a single pass over a step's images among them; PROTOCOLS="memory replay", more EPOCHS, and
# CONDENSATIONS="DM DSA LCMat" take longer. bash/continual.sh lists what can be overridden.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MODEL=${MODEL:-ResNet8} ORDERS=${ORDERS:-0 1} PROTOCOLS=${PROTOCOLS:-memory} CONDENSATIONS=${CONDENSATIONS-DM}
export EPOCHS=${EPOCHS:-1} MEMORY_EPOCHS=${MEMORY_EPOCHS:-40} BATCH=${BATCH:-64} PROXY_EPOCHS=${PROXY_EPOCHS:-3}
export ITERATIONS=${ITERATIONS:-50} DM_ITERATIONS=${DM_ITERATIONS:-60} OUTER=${OUTER:-5} INNER=${INNER:-5}
export SAVE_PATH=${SAVE_PATH:-$PWD/result/continual_CIFAR10}
if [ -n "${IMAGES:-}" ]; then
    export DATASET=ImageFolder DATA_PATH=$IMAGES
else
    export DATASET=CIFAR10
fi
exec bash bash/continual.sh "$@"
