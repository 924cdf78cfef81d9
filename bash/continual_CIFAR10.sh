#!/usr/bin/env bash
# CIFAR10 in 5 steps, 20 images a class, with a network that a CPU trains: ResNet8. IMAGES names a folder of
# train/<class>/* and test/<class>/*; without it CIFAR10 is downloaded. bash/continual.sh lists what can be overridden.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MODEL=${MODEL:-ResNet8} EPOCHS=${EPOCHS:-5} MEMORY_EPOCHS=${MEMORY_EPOCHS:-60} BATCH=${BATCH:-64}
export SAVE_PATH=${SAVE_PATH:-$PWD/result/continual_CIFAR10} ITERATIONS=${ITERATIONS:-50} DM_ITERATIONS=${DM_ITERATIONS:-500} OUTER=${OUTER:-5} INNER=${INNER:-5}
if [ -n "${IMAGES:-}" ]; then
    export DATASET=ImageFolder DATA_PATH=$IMAGES
else
    export DATASET=CIFAR10
fi
exec bash bash/continual.sh "$@"
