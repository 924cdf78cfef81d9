#!/usr/bin/env bash
# LCMat-S on TinyImageNet, 64×64 (--im_size 32 for half the size).
export DATASET=TinyImageNet
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
