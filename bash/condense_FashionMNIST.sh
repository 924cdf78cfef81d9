#!/usr/bin/env bash
# DC, DSA, DM and LCMat-C on FashionMNIST, 1 and 10 images a class.
# bash/condense.sh lists what the environment can override.
export DATASET=FashionMNIST
exec bash "$(dirname "${BASH_SOURCE[0]}")/condense.sh" "$@"
