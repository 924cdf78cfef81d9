#!/usr/bin/env bash
# The paper's CIFAR-100 table; fractions from 0.01, below which a class would be left with one image or none.
export DATASET=CIFAR100
export FRACTIONS=${FRACTIONS:-0.01 0.05 0.1 0.2 0.3}
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
