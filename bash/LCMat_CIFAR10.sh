#!/usr/bin/env bash
# The paper's CIFAR-10 table: ResNet18, 200 epochs, LCMat-S. bash/sweep.sh lists what the environment can override.
export DATASET=CIFAR10
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
