#!/usr/bin/env bash
# DC, DSA, DM and LCMat-C on CIFAR10, 1 and 10 images a class.
# bash/condense.sh lists what the environment can override.
export DATASET=CIFAR10
exec bash "$(dirname "${BASH_SOURCE[0]}")/condense.sh" "$@"
