#!/usr/bin/env bash
# bash/rivals.sh on all of CIFAR-10 with the network and the trainings of bash/study_CIFAR10_cpu.sh, whose proxies and
# runs it shares, at 1 %, 5 % and 10 %, three seeds. IMAGES names a folder of train/<class>/* and test/<class>/*;
# without it CIFAR10 is downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MODEL=${MODEL:-ResNet8} BUDGETS=${BUDGETS:-0.01:100 0.05,0.1:15} SEEDS=${SEEDS:-3} BATCH=${BATCH:-64}
export LR=${LR:-0.1} PROXY_BATCH=${PROXY_BATCH:-128} PROXY_LR=${PROXY_LR:-0.1}
export SAVE_PATH=${SAVE_PATH:-$PWD/result/study_CIFAR10}
if [ -n "${IMAGES:-}" ]; then
    export DATASET=ImageFolder DATA_PATH=$IMAGES
    set -- --augmentation none "$@"
else
    export DATASET=CIFAR10
fi
exec bash bash/rivals.sh "$@"
