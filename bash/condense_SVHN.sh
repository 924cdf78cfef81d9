#!/usr/bin/env bash
# DC, DSA, DM and LCMat-C on SVHN, 1 and 10 images a class.
# bash/condense.sh lists what the environment can override.
export DATASET=SVHN
exec bash "$(dirname "${BASH_SOURCE[0]}")/condense.sh" "$@"
