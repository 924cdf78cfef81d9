#!/usr/bin/env bash
# bash/study.sh on all of CIFAR-10 with a network that two CPU cores train: ResNet8, five seeds at small fractions and
# three at large ones. IMAGES names a folder of train/<class>/* and test/<class>/*; without it CIFAR10 is downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MODEL=${MODEL:-ResNet8} SAVE_PATH=${SAVE_PATH:-$PWD/result/study_CIFAR10}
if [ -n "${IMAGES:-}" ]; then
    export DATASET=ImageFolder DATA_PATH=$IMAGES AUGMENTATION=${AUGMENTATION:-none}
else
    export DATASET=CIFAR10
fi
FRACTIONS=${SMALL:-0.001:400 0.005,0.01:100} SEEDS=${SMALL_SEEDS:-0 1 2 3 4} bash bash/study.sh "$@"
FRACTIONS=${LARGE:-0.05,0.1:15} SEEDS=${LARGE_SEEDS:-0 1 2} bash bash/study.sh "$@"
